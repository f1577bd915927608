"""Errors of the HTTP interface as RFC 9457 problems: what is wrong, and the way out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.responses import Response

from shared.errors import CryptoStreamError, StoreError, StoreUnavailable

MEDIA_TYPE: Final = "application/problem+json"
# A store that is away may come back at any time; a person who fixes it needs longer.
_RETRY_S: Final = 2
_FIXED_S: Final = 30


class Problem(CryptoStreamError):
    """
    Attributes:
        headers: of the answer, besides those of every answer.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        title = HTTPStatus(self.status).phrase
        return {"type": "about:blank", "title": title, "status": self.status, "detail": str(self)}

    def response(self) -> Response:
        return Response(orjson.dumps(self.body()), self.status, media_type=MEDIA_TYPE, headers=self.headers)


def wrong(thing: str, fault: str) -> Problem:
    """A part of the request that cannot be used."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{thing}: {fault}")


def busy(detail: str, retry_s: float = 1.0) -> Problem:
    """Something that works again later."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": str(max(1, math.ceil(retry_s)))})


def of_store(error: StoreError) -> Problem:
    """The history is away; what is live goes on."""
    transient = isinstance(error, StoreUnavailable)
    retry_s = error.retry_after if isinstance(error, StoreUnavailable) else None
    return busy(f"history is away: {error}", retry_s or (_RETRY_S if transient else _FIXED_S))
