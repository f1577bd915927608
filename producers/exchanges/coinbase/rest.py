"""Coinbase's REST behind the port: trades by id, products, the clock. It refuses what it does not have.

Trades come from Exchange's interface, whose pages go by id. That it counts trades as Advanced Trade does,
whose stream we read, is stated nowhere: it is proved each time (`producers.trade_pages`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from producers.exchanges.coinbase.answers import PAGE, book
from producers.exchanges.coinbase.client import CoinbaseClient
from producers.exchanges.coinbase.pages import CoinbasePages, following
from producers.exchanges.coinbase.products import fault_of
from producers.exchanges.paced_client import of_each
from producers.exchanges.pacing import Pacer
from producers.exchanges.port import Addresses
from producers.exchanges.rest_port import (
    SNAPSHOT_LEVELS,
    TRADING,
    Beside,
    DayTicker,
    Listing,
    OptionalRequest,
    Reject,
)
from producers.trade_pages import BeforePages
from shared.errors import (
    ExchangeRefused,
    ExchangeUnavailable,
    UnknownSymbol,
)
from shared.messages import DepthMessage, KlineMessage, TradeMessage

_LOG = logging.getLogger(__name__)

# Of the lowest limit that its documents name (COINBASE_KRAKEN.md §3.1), and half of its burst.
A_SECOND: Final = 8.0
SHARE: Final = 0.5
_BURST: Final = 10


class CoinbaseRest:
    """See `Rest`.

    Args:
        exchange_ms: the exchange's clock as far as known.
        reject: takes rows that break the contract: source, symbol, reason, bytes. They count as missing.
        share: of the pace that is served.

    Raises:
        SettingsError: the environment names an unusable proxy.
    """

    def __init__(
        self, addresses: Addresses, exchange_ms: Callable[[], int], reject: Reject, share: float = SHARE
    ) -> None:
        self.budget = Pacer(A_SECOND * share, _BURST)
        self._client = CoinbaseClient(addresses, self.budget)
        self._pages = CoinbasePages(self._client, exchange_ms, reject)
        self._exchange_ms = exchange_ms
        self.bounds_ms: Callable[[int], tuple[int, int]] = lambda said_ms: (said_ms, said_ms)
        self.recorded_halts: dict[str, tuple[tuple[int, int], ...]] = {}
        self.listed = self._pages.listed

    def listing(self, symbol: str) -> Listing | None:
        product = self.listed.get(symbol)
        if product is None:
            return None
        alias = None if product.streamed_as == symbol else product.streamed_as
        return Listing(product.base, product.quote, product.tick, product.lot, alias)

    def has_spare(self, request: OptionalRequest) -> bool:  # noqa: ARG002 - all cost the same
        return self.budget.spare(time.monotonic())

    async def close(self) -> None:
        await self._client.close()

    async def time_ms(self) -> int:
        return await self._client.time_ms()

    async def latest_ms(self) -> int:
        try:
            said_ms = await self.time_ms()
        except (ExchangeRefused, ExchangeUnavailable):
            said_ms = self._exchange_ms()
        return self.bounds_ms(said_ms)[1]

    # --- Products. ---

    async def statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        found = await self.listed_statuses(symbols)
        unknown = [symbol for symbol in symbols if symbol not in found]
        if unknown:
            products = await self._client.all_listed()
            raise UnknownSymbol("; ".join(f"SYMBOLS: {fault_of(symbol, products)}" for symbol in unknown))
        return found

    async def listed_statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        found = await self._pages.find(symbols)
        return {symbol: TRADING if each.trading else each.status for symbol, each in found.items()}

    async def klines(
        self,
        symbol: str,
        interval: str,
        first: int,  # noqa: ARG002 - a refusal needs less
        last: int,  # noqa: ARG002
        received_ms: int,  # noqa: ARG002
    ) -> list[KlineMessage]:
        raise ExchangeRefused(
            f"bars {interval} of {symbol}: Coinbase's have no quote volumes and numbers of trades, and do not"
            " say when they are final; they are built from trades"
        )

    async def depth(
        self, symbol: str, received_ms: Callable[[], int], levels: int = SNAPSHOT_LEVELS
    ) -> DepthMessage:
        parameters = {"product_id": await self._pages.product(symbol), "limit": str(levels)}
        return await self._client.advanced(
            "market/product_book", parameters, lambda body: book(symbol, body, received_ms())
        )

    async def day_ticker(self, symbol: str) -> DayTicker:
        raise ExchangeRefused(f"day ticker of {symbol}: Coinbase gives its quote volume only approximately")

    # --- Trades by id. ---

    async def trades(
        self, symbol: str, first: int, last: int, received_ms: int
    ) -> tuple[list[TradeMessage], int]:
        """None that we hold stands beside them: the numbering is proved by the other interface."""
        page = await self._pages.page(symbol, received_ms, after=min(first + PAGE, last + 1))
        rows = [row for row in page if first <= row["trade_id"] <= last]
        if rows:
            await self._pages.prove(symbol, rows[-1], received_ms)
        return rows, 0

    async def trades_beside(
        self, symbol: str, first: int, last: int, received_ms: int, beside: Beside
    ) -> list[TradeMessage]:
        """All between the nearest trades that we hold on both sides, also beyond those asked for.

        While no stream comes we hold none above them: then the other interface, which counts as the stream
        does, has to show the last one.
        """
        known = [row["trade_id"] for row in beside.held] + [trade_id for trade_id, _ in beside.marks]
        begin = max((each for each in known if each < first), default=first - 1)
        end = min((each for each in known if each > last), default=last + 1)
        pages = BeforePages(begin + 1, end - 1, beside.held, marks=dict(beside.marks))
        while not pages.done:
            pages.receive(await self._pages.page(symbol, received_ms, after=pages.request().trade_id))
        repair = pages.repair()
        newest = pages.found(end - 1)
        if repair.unproved and newest is not None and not any(each > last for each in known):
            shown = await self._pages.shown(symbol, newest, received_ms)
            repair = pages.repair() if shown is None else pages.repair(beside=shown)
        if repair.unproved:
            _LOG.warning("%s: trades %d to %d: %s", symbol, first, last, repair.reason)
        return repair.trades

    async def newest_trades(self, symbol: str, limit: int, received_ms: int) -> list[TradeMessage]:
        return await self._pages.ticker(symbol, received_ms, limit=limit)

    async def newest_trade(self, symbol: str, received_ms: int) -> TradeMessage | None:
        rows = await self._pages.ticker(symbol, received_ms, limit=1)
        return rows[-1] if rows else None

    async def newest_trade_id(self, symbol: str) -> int | None:
        newest = await self.newest_trade(symbol, self._exchange_ms())
        return None if newest is None else newest["trade_id"]

    async def newest_trade_ids(self, symbols: Sequence[str]) -> dict[str, int]:
        found = await of_each(symbols, self.newest_trade_id)
        return {symbol: trade_id for symbol, trade_id in found.items() if trade_id is not None}

    # --- Trades by time. ---

    async def first_trade(self, symbol: str, begin_ms: int, end_ms: int) -> int | None:
        rows = await self._pages.since(symbol, begin_ms, self._exchange_ms())
        found = [row["trade_id"] for row in rows if begin_ms <= row["trade_time_ms"] <= end_ms]
        return min(found, default=None)

    async def issued_trades(
        self, symbol: str, begin_ms: int, end_ms: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Nothing proves of an id that it was never issued."""
        rows = await self._pages.since(symbol, begin_ms, self._exchange_ms())
        ids = (row["trade_id"] for row in rows if begin_ms <= row["trade_time_ms"] <= end_ms)
        return [(each, each) for each in ids], []

    async def trades_from(
        self, symbol: str, begin_ms: int, received_ms: Callable[[], int]
    ) -> AsyncIterator[list[TradeMessage]]:
        rows = await self._pages.since(symbol, begin_ms, received_ms())
        while rows:
            yield rows
            newest = rows[-1]
            page = await self._pages.page(symbol, received_ms(), after=newest["trade_id"] + PAGE)
            rows = following(symbol, newest, page)[1:]
