"""Kraken's REST over HTTP: one session, one pace, bounded attempts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from producers.exchanges.fields import OF_FOREIGN_VALUES, reason
from producers.exchanges.kraken.answers import result_of
from producers.exchanges.paced_client import PacedClient
from producers.exchanges.pacing import Pacer
from shared.errors import ExchangeRefused, ExchangeUnreadable, UnknownSymbol

Answer = TypeVar("Answer")


class KrakenClient:
    """GET requests to `/0/public/…`. Use it within an event loop.

    Args:
        attempts, way_out: see `PacedClient`.

    Raises:
        SettingsError: the environment names an unusable proxy.
    """

    def __init__(self, rest_url: str, pacer: Pacer, *, attempts: int = 4, way_out: str = "") -> None:
        self._rest_url = rest_url
        self._http = PacedClient([rest_url], pacer, attempts=attempts, way_out=way_out)

    async def close(self) -> None:
        await self._http.close()

    async def get(
        self, path: str, parameters: dict[str, str], read: Callable[[dict[str, Any]], Answer]
    ) -> Answer:
        """The content of an answer.

        Args:
            read: of the result; may raise any of OF_FOREIGN_VALUES.

        Raises:
            ExchangeUnavailable, ExchangeRefused, UnknownSymbol: as of `result_of`.
            ExchangeUnreadable: `read` cannot read it.
        """

        def decide(status: int, headers: Mapping[str, str], body: bytes, request: str) -> Answer:
            try:
                result = result_of(status, headers, body, request)
            except UnknownSymbol:
                if "pair" in parameters:
                    raise
                raise ExchangeRefused(f"{request}: refused (for a pair, and none was named)") from None
            try:
                return read(result)
            except OF_FOREIGN_VALUES as error:
                raise ExchangeUnreadable(f"{request}: {reason(error)}") from None

        return await self._http.get(f"{self._rest_url}/0/public/{path}", parameters, decide)
