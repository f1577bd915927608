"""Single questions to Coinbase, of one attempt each: what `doctor` asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from producers.exchanges.coinbase.answers import trades
from producers.exchanges.coinbase.client import CoinbaseClient, path_of
from producers.exchanges.pacing import Pacer
from producers.exchanges.port import Addresses
from producers.exchanges.rest_port import TRADING

_FIX: Final = "; check the network, and the hosts of COINBASE_REST_URL and COINBASE_EXCHANGE_URL"
# A command asks some questions and ends.
_BURST: Final = 10


class CoinbaseEnquiry:
    """See `Enquiry`. Make it within an event loop, and close it."""

    def __init__(self, addresses: Addresses) -> None:
        self._client = CoinbaseClient(addresses, Pacer(1.0, _BURST), attempts=1, way_out=_FIX)

    async def close(self) -> None:
        await self._client.close()

    async def time_ms(self) -> int:
        return await self._client.time_ms()

    async def listed_statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        found = await self._client.listed(symbols)
        return {symbol: TRADING if each.trading else each.status for symbol, each in found.items()}

    async def names(self) -> list[str]:
        return list(await self._client.all_listed())

    async def old_trades(self, symbol: str) -> None:
        product = (await self._client.listed([symbol])).get(symbol)
        path = f"products/{path_of(symbol if product is None else product.streamed_as)}/trades"
        oldest = {"after": "2", "limit": "1"}
        await self._client.exchange(path, oldest, lambda body: trades(symbol, body, 0))
