"""Single questions to Kraken, of one attempt each: what `doctor` asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from producers.exchanges.kraken.answers import trades_page
from producers.exchanges.kraken.client import KrakenClient
from producers.exchanges.kraken.listing import all_listed, listed, time_ms
from producers.exchanges.kraken.pairs import carried, unlisted
from producers.exchanges.pacing import Pacer
from producers.exchanges.port import Addresses
from producers.exchanges.rest_port import TRADING

_FIX: Final = "; check the network, and the host of KRAKEN_REST_URL"
# A command asks some questions and ends.
_BURST: Final = 15


class KrakenEnquiry:
    """See `Enquiry`. Make it within an event loop, and close it."""

    def __init__(self, addresses: Addresses) -> None:
        self._client = KrakenClient(addresses.rest, Pacer(1.0, _BURST), attempts=1, way_out=_FIX)

    async def close(self) -> None:
        await self._client.close()

    async def time_ms(self) -> int:
        return await time_ms(self._client)

    async def listed_statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        found = await listed(self._client, symbols)
        return {symbol: TRADING if pair.trading else pair.status for symbol, pair in found.items()}

    async def names(self) -> list[str]:
        return [name for name in await all_listed(self._client) if carried(name)]

    async def old_trades(self, symbol: str) -> None:
        pair = unlisted(symbol)
        oldest = {"pair": pair.rest_name, "since": "0", "count": "1"}
        await self._client.get("Trades", oldest, lambda result: trades_page(pair, result, 0))
