"""Coinbase's two REST interfaces over HTTP: Advanced Trade's market data, and Exchange's trades."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

from producers.exchanges.coinbase.answers import decide, products, server_time
from producers.exchanges.coinbase.products import Product
from producers.exchanges.paced_client import PacedClient, Parameters
from producers.exchanges.pacing import Pacer
from producers.exchanges.port import Addresses
from shared.errors import ExchangeRefused, ExchangeUnreadable, UnknownSymbol

Answer = TypeVar("Answer")

ADVANCED: Final = "/api/v3/brokerage"
_ALL: Final = (("product_type", "SPOT"),)


class CoinbaseClient:
    """Use it within an event loop. Errors as of `decide`.

    Args:
        addresses: `rest` is Advanced Trade's host, `history` that of Exchange.
        attempts, way_out: see `PacedClient`.

    Raises:
        SettingsError: the environment names an unusable proxy.
    """

    def __init__(self, addresses: Addresses, pacer: Pacer, *, attempts: int = 4, way_out: str = "") -> None:
        self._addresses = addresses
        hosts = [addresses.rest, addresses.history]
        self._http = PacedClient(hosts, pacer, attempts=attempts, way_out=way_out)

    async def close(self) -> None:
        await self._http.close()

    async def advanced(self, path: str, parameters: Parameters, read: Callable[[Any], Answer]) -> Answer:
        """Of `/api/v3/brokerage/<path>`; `read` raises InvalidMessage for what it cannot read."""
        return await self._get(f"{self._addresses.rest}{ADVANCED}/{path}", parameters, read)

    async def exchange(self, path: str, parameters: Parameters, read: Callable[[Any], Answer]) -> Answer:
        """Of Exchange's `/<path>`, likewise."""
        return await self._get(f"{self._addresses.history}/{path}", parameters, read)

    async def time_ms(self) -> int:
        """The exchange's clock."""
        try:
            return await self.advanced("time", {}, server_time)
        except UnknownSymbol:
            # So a 404 is read, and no product was named.
            raise ExchangeRefused(f"GET {self._addresses.rest}{ADVANCED}/time: not found (404)") from None

    async def listed(self, symbols: Sequence[str]) -> dict[str, Product]:
        """Those of the products that are listed, by symbol; the others are left out.

        Raises:
            ExchangeUnreadable: one is listed, but cannot be read; left out, it would look like delisted.
        """
        if not symbols:
            return {}
        try:
            found, faults = await self._products([("product_ids", symbol) for symbol in symbols])
        except (ExchangeRefused, UnknownSymbol):
            # It is not stated whether one unknown product refuses all of them.
            found, faults = await self._products(_ALL)
        for symbol in symbols:
            if symbol in faults and symbol not in found:
                raise ExchangeUnreadable(
                    f"coinbase: its listing of {symbol} cannot be read ({faults[symbol]})"
                )
        return {symbol: found[symbol] for symbol in symbols if symbol in found}

    async def all_listed(self) -> dict[str, Product]:
        """All spot products, by symbol."""
        found, _ = await self._products(_ALL)
        return found

    async def _products(self, parameters: Parameters) -> tuple[dict[str, Product], dict[str, str]]:
        found, faults = await self.advanced("market/products", parameters, products)
        if faults and not found:
            name, fault = next(iter(faults.items()))
            raise ExchangeUnreadable(f"coinbase: none of its products can be read ({name}: {fault})")
        return found, faults

    async def _get(self, url: str, parameters: Parameters, read: Callable[[Any], Answer]) -> Answer:
        def answered(status: int, headers: Mapping[str, str], body: bytes, request: str) -> Answer:
            return decide(status, headers, body, request, read)

        return await self._http.get(url, parameters, answered)


def path_of(product: str) -> str:
    """A product in a path."""
    return quote(product, safe="")
