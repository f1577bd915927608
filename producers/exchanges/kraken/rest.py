"""Kraken's REST behind the port: trades by time, statuses and the clock. It refuses what it does not have."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from producers.clock import AHEAD_MS
from producers.exchanges.kraken.answers import PAGE, TradesPage, trades_page
from producers.exchanges.kraken.client import KrakenClient
from producers.exchanges.kraken.listing import all_listed, listed, time_ms
from producers.exchanges.kraken.pairs import Pair, listing_of, resolve, unlisted
from producers.exchanges.kraken.trade_index import TradeIndex
from producers.exchanges.kraken.trade_search import TradeSearch
from producers.exchanges.paced_client import of_each
from producers.exchanges.pacing import Pacer
from producers.exchanges.rest_port import (
    SNAPSHOT_LEVELS,
    TRADING,
    Beside,
    DayTicker,
    Listing,
    OptionalRequest,
    Reject,
)
from producers.since_pages import EARLIER_MS, SincePages, again_ns, never_issued, settled
from producers.trade_pages import same_trade
from shared.dead_letters import as_json
from shared.errors import (
    ExchangeRefused,
    ExchangeUnavailable,
    ExchangeUnreadable,
    UnknownSymbol,
)
from shared.id_ranges import IdRanges
from shared.messages import DepthMessage, KlineMessage, TradeMessage

# Half of a request a second, which public clients found to be borne; no page names a figure.
A_SECOND: Final = 1.0
SHARE: Final = 0.5
_BURST: Final = 10
_NS: Final = 1_000_000
# The clock is said to the second.
_PRECISION_MS: Final = 1_000
# How far before a time the trade before it is looked for.
_STEPS_BACK_MS: Final = (10_000, 600_000, 86_400_000)
# Pages, about 1 MB each, of which a reading begins with one.
_MOST_BEGINS: Final = 3


class KrakenRest:
    """See `Rest`.

    Args:
        exchange_ms: the exchange's clock as far as known.
        reject: takes rows that break the contract: source, symbol, reason, bytes. They count as missing.
        share: of the pace that is borne.

    Raises:
        SettingsError: the environment names an unusable proxy.
    """

    def __init__(
        self, rest_url: str, exchange_ms: Callable[[], int], reject: Reject, share: float = SHARE
    ) -> None:
        self.budget = Pacer(A_SECOND * share, _BURST)
        self._client = KrakenClient(rest_url, self.budget)
        self._exchange_ms = exchange_ms
        self._reject = reject
        self.bounds_ms: Callable[[int], tuple[int, int]] = lambda said_ms: (said_ms, said_ms)
        self.recorded_halts: dict[str, tuple[tuple[int, int], ...]] = {}
        self.listed: dict[str, Pair] = {}
        self._indices: dict[str, TradeIndex] = {}
        # Pages that `first_trade` has read, by their begins: `trades_from` begins with one of them.
        self._begins: dict[str, dict[int, TradesPage]] = {}
        # What the newest answer leaves out, of whole pages. Of an earlier one nothing is kept: its ids may
        # have begun anew, and belong to trades that exist.
        self._never: dict[str, IdRanges] = {}

    def listing(self, symbol: str) -> Listing | None:
        pair = self.listed.get(symbol)
        return None if pair is None else listing_of(pair)

    def has_spare(self, request: OptionalRequest) -> bool:  # noqa: ARG002 - all cost the same
        return self.budget.spare(time.monotonic())

    async def close(self) -> None:
        await self._client.close()

    async def time_ms(self) -> int:
        return await time_ms(self._client)

    async def latest_ms(self) -> int:
        try:
            said_ms = await self.time_ms()
        except (ExchangeRefused, ExchangeUnavailable):
            said_ms = self._exchange_ms()
        return self.bounds_ms(said_ms)[1] + _PRECISION_MS

    async def statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        found = await self.listed_statuses(symbols)
        unknown = [symbol for symbol in symbols if symbol not in found]
        if unknown:
            pairs = await all_listed(self._client)
            raise UnknownSymbol("; ".join(f"SYMBOLS: {_fault_of(symbol, pairs)}" for symbol in unknown))
        return found

    async def listed_statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        found = await listed(self._client, symbols)
        self.listed |= found
        return {symbol: TRADING if pair.trading else pair.status for symbol, pair in found.items()}

    async def klines(
        self,
        symbol: str,
        interval: str,
        first: int,  # noqa: ARG002 - a refusal needs less
        last: int,  # noqa: ARG002
        received_ms: int,  # noqa: ARG002
    ) -> list[KlineMessage]:
        raise ExchangeRefused(
            f"bars {interval} of {symbol}: Kraken's have no volumes of takers and do not say when they are"
            " final; they are built from trades"
        )

    async def trades(
        self, symbol: str, first: int, last: int, received_ms: int
    ) -> tuple[list[TradeMessage], int]:
        return await self.trades_beside(symbol, first, last, received_ms, Beside(None, None)), 0

    async def trades_beside(
        self, symbol: str, first: int, last: int, received_ms: int, beside: Beside
    ) -> list[TradeMessage]:
        self._never.pop(symbol, None)
        before_ms = await self._time_before(symbol, first, received_ms, beside)
        pages = SincePages(first, last, beside.held, before_ms=before_ms)
        while not pages.done:
            page = await self._page(symbol, received_ms, since_ns=pages.request().since_ns)
            pages.receive(page.trades, page.end_ns, page.rows)
        found = pages.repair()
        self._never[symbol] = IdRanges(found.never)
        return found.trades

    async def trades_from(
        self, symbol: str, begin_ms: int, received_ms: Callable[[], int]
    ) -> AsyncIterator[list[TradeMessage]]:
        page, since_ns = TradesPage([], 0, 0), 0
        begins = self._begins.pop(symbol, {})
        for back_ms in _STEPS_BACK_MS:
            since_ns = max(0, begin_ms - back_ms) * _NS
            page = begins.get(since_ns) or await self._page(symbol, received_ms(), since_ns=since_ns)
            if page.trades and page.trades[0]["trade_time_ms"] < begin_ms:
                break
        else:
            # There was none for a day: those since then are few, and flat bars need the price before them.
            last_ones = await self._page(symbol, received_ms())
            if last_ones.trades and last_ones.trades[0]["trade_time_ms"] < begin_ms:
                page, since_ns = last_ones, 0
        begins.clear()
        newest: TradeMessage | None = None
        while True:
            if not page.whole:
                raise ExchangeUnreadable(f"Trades of {symbol}: a page has rows that cannot be read")
            rows = page.trades
            if newest is not None:
                rows = _joined(symbol, newest, rows)
            if page.rows < PAGE:
                if rows:
                    yield rows
                return
            if not rows:
                raise ExchangeUnreadable(f"Trades of {symbol}: a full page has nothing new")
            certain = list(settled(rows, page.end_ns // _NS))
            # With pages of a second or two it would hardly go on: a trade may be left out, whose id tells.
            rows = certain if 2 * len(certain) >= len(rows) else rows
            yield rows
            newest = rows[-1]
            since_ns = again_ns(newest, since_ns, page.end_ns)
            page = await self._page(symbol, received_ms(), since_ns=since_ns)

    async def newest_trades(self, symbol: str, limit: int, received_ms: int) -> list[TradeMessage]:
        return (await self._page(symbol, received_ms, count=limit)).trades

    async def newest_trade(self, symbol: str, received_ms: int) -> TradeMessage | None:
        rows = await self.newest_trades(symbol, 1, received_ms)
        return rows[-1] if rows else None

    async def newest_trade_id(self, symbol: str) -> int | None:
        newest = await self.newest_trade(symbol, self._exchange_ms())
        return None if newest is None else newest["trade_id"]

    async def newest_trade_ids(self, symbols: Sequence[str]) -> dict[str, int]:
        found = await of_each(symbols, self.newest_trade_id)
        return {symbol: trade_id for symbol, trade_id in found.items() if trade_id is not None}

    async def first_trade(self, symbol: str, begin_ms: int, end_ms: int) -> int | None:
        """Reads a page that `trades_from` may begin with: each symbol's start needs one request less."""
        since_ns = max(0, begin_ms - _STEPS_BACK_MS[0]) * _NS
        page = await self._page(symbol, self._exchange_ms(), since_ns=since_ns)
        self._keep(symbol, since_ns, page)
        found = [row for row in page.trades if row["trade_time_ms"] >= begin_ms]
        if not page.whole or (not found and page.rows >= PAGE):
            # It may be a row that cannot be read, or there is more than a page in these seconds.
            page = await self._page(symbol, self._exchange_ms(), since_ns=max(0, begin_ms * _NS - 1), count=1)
            found = page.trades
        return next((row["trade_id"] for row in found if row["trade_time_ms"] <= end_ms), None)

    def _keep(self, symbol: str, since_ns: int, page: TradesPage) -> None:
        """Keep what a reading may begin with: it does not begin earlier where a later time is asked about.

        A page that is not full may be of another question, as after the trades since the subscription.
        """
        begins = self._begins.setdefault(symbol, {})
        full = page.rows >= PAGE
        kept = {begin: each for begin, each in begins.items() if begin > since_ns or not full}
        self._begins[symbol] = dict([*kept.items(), (since_ns, page)][-_MOST_BEGINS:])

    async def issued_trades(
        self, symbol: str, begin_ms: int, end_ms: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Ids are consecutive as far as they were issued: what lies between those of a page never was.

        Times may be out of order: the page begins earlier, and all of it counts as proof.
        """
        since_ms = max(0, begin_ms - EARLIER_MS)
        page = await self._page(symbol, self._exchange_ms(), since_ns=since_ms * _NS)
        if page.rows >= PAGE and page.end_ns < begin_ms * _NS:
            # More than a page in the second before: what was issued since is asked for, and little is proved.
            since_ms = begin_ms - 1
            page = await self._page(symbol, self._exchange_ms(), since_ns=since_ms * _NS)
        ids = [row["trade_id"] for row in page.trades]
        issued = [row["trade_id"] for row in page.trades if begin_ms <= row["trade_time_ms"] <= end_ms]
        never = IdRanges(self._never.get(symbol, ()))
        if ids and page.whole:
            absent = IdRanges([(ids[0], ids[-1])]).difference(IdRanges((each, each) for each in ids))
            for low, high in never_issued(absent, page.trades, since_ms, page.end_ns // _NS):
                never.add(low, high)
        return list(IdRanges((each, each) for each in issued)), list(never)

    async def depth(
        self,
        symbol: str,
        received_ms: Callable[[], int],  # noqa: ARG002
        levels: int = SNAPSHOT_LEVELS,  # noqa: ARG002
    ) -> DepthMessage:
        raise ExchangeRefused(f"book of {symbol}: Kraken proves it on the stream alone")

    async def day_ticker(self, symbol: str) -> DayTicker:
        raise ExchangeRefused(f"day ticker of {symbol}: not read of Kraken")

    async def _time_before(self, symbol: str, first: int, received_ms: int, beside: Beside) -> int:
        """Time of a trade some pages before an id."""
        index = self._indices.setdefault(symbol, TradeIndex())
        search = TradeSearch(
            index, first, PAGE, before_ms=beside.before_ms or 0, now_ms=self._exchange_ms() + AHEAD_MS
        )
        while search.found_ms is None:
            since_ms = search.guess_ms()
            page = await self._page(symbol, received_ms, since_ns=since_ms * _NS)
            search.receive(since_ms, page.trades, page.rows)
        return search.found_ms

    async def _page(
        self, symbol: str, received_ms: int, *, since_ns: int | None = None, count: int = PAGE
    ) -> TradesPage:
        pair = self.listed.get(symbol) or unlisted(symbol)
        parameters = {"pair": pair.rest_name, "count": str(count)}
        if since_ns is not None:
            parameters["since"] = str(since_ns)

        def reject(row: Any, reason: str) -> None:
            self._reject("rest:trades", symbol, reason, as_json(row))

        page = await self._client.get(
            "Trades", parameters, lambda result: trades_page(pair, result, received_ms, reject)
        )
        if page.rows and not page.trades:
            raise ExchangeUnreadable(f"Trades of {symbol}: none of {page.rows} rows can be read")
        page = await self._not_ahead(page, reject)
        page.trades.sort(key=_id_of)
        self._indices.setdefault(symbol, TradeIndex()).note(page.trades)
        return page

    async def _not_ahead(self, page: TradesPage, reject: Callable[[Any, str], None]) -> TradesPage:
        """Without trades that lie beyond the exchange's clock."""
        newest_ms = max((row["trade_time_ms"] for row in page.trades), default=0)
        if newest_ms <= self._exchange_ms() + AHEAD_MS:
            return page
        # Our estimate of the exchange's clock may be old.
        latest_ms = await self.time_ms() + AHEAD_MS
        for row in page.trades:
            if row["trade_time_ms"] > latest_ms:
                reject(row, f"trade_time_ms: {row['trade_time_ms']} is beyond the exchange's clock")
        return page._replace(trades=[row for row in page.trades if row["trade_time_ms"] <= latest_ms])


def _joined(symbol: str, newest: TradeMessage, rows: list[TradeMessage]) -> list[TradeMessage]:
    """The rows after the newest one known, which must be among them."""
    again = next((row for row in rows if row["trade_id"] == newest["trade_id"]), None)
    if again is None or not same_trade(again, newest):
        raise ExchangeUnreadable(
            f"Trades of {symbol}: a page does not overlap the one before it, which ends with"
            f" {newest['trade_id']}"
        )
    return [row for row in rows if row["trade_id"] > newest["trade_id"]]


def _id_of(trade: TradeMessage) -> int:
    return trade["trade_id"]


def _fault_of(symbol: str, pairs: dict[str, Pair]) -> str:
    try:
        resolve(symbol, pairs)
    except UnknownSymbol as error:
        return str(error)
    return f"kraken: {symbol} is not listed"
