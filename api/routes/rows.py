"""`GET /rows/{measurement}`: stored rows as JSON, NDJSON or CSV, in bounded memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api import encode
from api.exact import ExactRows, ExactValues
from api.history import History, Reading
from api.paging import Page
from api.problems import Problem, wrong
from api.rows_request import (
    MEDIA_TYPES,
    PAGE_ROWS,
    STREAM_ROWS,
    Format,
    RowsRequest,
    read_rows_request,
    wanted_format,
)
from api.schema import rows_answers, rows_parameters
from api.security import HEAD
from api.settled import settled
from consumers.measurements import MEASUREMENTS
from consumers.stores.port import Row
from consumers.tap.series import LiveKind
from shared.shortened import quoted

# An answer up to this size is kept whole, for its ETag; a longer one is sent as it is made.
_WHOLE_BYTES: Final = 4_000_000
# A client that takes nothing for so long is given up: it keeps a transaction of the store open.
_SEND_S: Final = 15.0
_FOR_EVER: Final = "private, max-age=31536000, immutable"
_ASK_AGAIN: Final = "private, no-cache"


@dataclass(frozen=True, slots=True)
class _Encoding:
    """The parts of an answer in one format.

    Attributes:
        most: rows of an answer; None if nothing in the format can tell that there are more.
    """

    head: Callable[[RowsRequest], bytes]
    rows: Callable[[Sequence[Sequence[Any]]], bytes]
    end: Callable[[str | None], bytes]
    most: int | None
    between: bytes = b""


_ENCODINGS: Final[dict[Format, _Encoding]] = {
    "json": _Encoding(encode.json_head, encode.json_rows, encode.json_end, PAGE_ROWS, b","),
    "ndjson": _Encoding(encode.ndjson_head, encode.ndjson_rows, encode.ndjson_end, STREAM_ROWS),
    "csv": _Encoding(encode.csv_head, encode.csv_rows, lambda _next: b"", None),
}


def rows_router(kinds: dict[str, LiveKind], history: History, exact: ExactRows | None) -> APIRouter:
    """A route for each kind that is stored, and the refusal of all others."""
    router = APIRouter(tags=["rows"])
    stored = [kind for name, kind in kinds.items() if name in MEASUREMENTS]
    for kind in stored:
        router.add_api_route(
            f"/rows/{kind.name}",
            _endpoint(kind, history, exact),
            operation_id=f"rows_{kind.name}",
            summary=f"Stored rows of {kind.name}",
            responses=rows_answers(kind),
            openapi_extra={"parameters": rows_parameters(kind)},
            response_class=Response,
        )

    @router.get("/rows/{measurement}", include_in_schema=False)
    async def unknown(measurement: str) -> None:
        what = "is not stored; follow it on /api/v1/stream" if measurement in kinds else "is not known"
        names = ", ".join(kind.name for kind in stored)
        raise Problem(HTTPStatus.NOT_FOUND, f"rows: {quoted(measurement)} {what}; choose from {names}")

    return router


def _endpoint(kind: LiveKind, history: History, exact: ExactRows | None) -> Callable[..., Any]:
    async def rows(request: Request) -> Response:
        asked = read_rows_request(kind, request.query_params.multi_items())
        format_ = wanted_format(request.headers.get("accept"))
        if asked.exact and exact is None:
            raise wrong("exact", "there is no broker to read from; leave it out")
        answer = _Parts(asked, _ENCODINGS[format_], history, exact)
        return await _response(answer, format_, request.headers.get("if-none-match"))

    return rows


class _Parts:
    """The parts of an answer, made as they are taken."""

    def __init__(
        self, request: RowsRequest, encoding: _Encoding, history: History, exact: ExactRows | None
    ) -> None:
        self._request = request
        self._encoding = encoding
        self._history = history
        self._exact = exact
        self.settled = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        request, encoding = self._request, self._encoding
        shape = encode.RowShape(request)
        # A format without an end mark cannot tell that there is more, and has all.
        page = Page(request, encoding.most if encoding.most is not None else 2**62)
        async with self._history.reading(request.tags) as reading:
            self.settled = await settled(reading, request)
            exact = await self._exact.of(request) if self._exact is not None and request.exact else None
            yield encoding.head(request)
            begun = False
            async with aclosing(self._chunks(reading)) as chunks:
                async for chunk in chunks:
                    kept = page.take(chunk)
                    if kept:
                        rows = await reading.work(partial(_encoded, kept, shape, encoding, exact))
                        yield encoding.between + rows if begun else rows
                        begun = True
                    if page.next is not None:
                        break
            yield encoding.end(page.next)

    def _chunks(self, reading: Reading) -> Any:
        request = self._request
        return reading.rows(
            request.kind.name,
            request.tags,
            from_ns=request.from_ns,
            to_ns=request.to_ns,
            last=request.last,
        )


def _encoded(
    kept: Sequence[Row], shape: encode.RowShape, encoding: _Encoding, exact: ExactValues | None
) -> bytes:
    values = shape.values(kept)
    if exact is not None:
        exact.replace(kept, values)
    return encoding.rows(values)


async def _response(parts: _Parts, format_: Format, if_none_match: str | None) -> Response:
    """The whole answer with its ETag, or a stream if it is long."""
    made = parts.__aiter__()
    begin: list[bytes] = []
    size = 0
    # What is wrong with the store shows before anything is sent.
    async for part in made:
        begin.append(part)
        size += len(part)
        if size > _WHOLE_BYTES:
            return _Stream(begin, made, MEDIA_TYPES[format_])
    body = b"".join(begin)
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        "ETag": etag,
        "Cache-Control": _FOR_EVER if parts.settled else _ASK_AGAIN,
        "Vary": "Accept, Authorization",
    }
    if if_none_match is not None and etag in (each.strip() for each in if_none_match.split(",")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, media_type=MEDIA_TYPES[format_], headers=headers)


class _Stream(Response):
    """Sends parts as they are made; what is cut off ends the connection."""

    def __init__(self, begin: list[bytes], rest: Any, media_type: str) -> None:
        super().__init__(None, media_type=media_type)
        del self.headers["content-length"]
        self.headers["Cache-Control"] = _ASK_AGAIN
        self._begin = begin
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        async with aclosing(self._rest) as rest:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if not scope.get(HEAD):
                await _sent(send, b"".join(self._begin))
                self._begin.clear()
                async for part in rest:
                    await _sent(send, part)
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _sent(send: Send, body: bytes) -> None:
    async with asyncio.timeout(_SEND_S):
        await send({"type": "http.response.body", "body": body, "more_body": True})
