"""The laws that the topics' records keep (DESIGN §4.1), one record at a time. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptostream.chaos.differences import Differences, Kind
from cryptostream.chaos.truth import BarSeries
from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS
from shared.trade_ids import number_of

BOOK_LEVELS: Final = 20


class TradeLaw:
    """`market.trades` of one symbol: no id twice, and those of the stream in order.

    Attributes:
        late: ids of the stream that came after higher ones: they must have been known as a hole.
    """

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._newest = -1
        self.ids = IdRanges()
        self.late = IdRanges()

    def receive(self, message: Mapping[str, Any]) -> Differences:
        differences = Differences()
        trade_id, source = number_of(message), message["source"]
        if trade_id in self.ids:
            differences.add("market.trades", "twice", f"{self._symbol} {trade_id} ({source})")
        elif source == "stream" and trade_id < self._newest:
            self.late.add(trade_id, trade_id)
        self.ids.add(trade_id, trade_id)
        if source == "stream":
            self._newest = max(self._newest, trade_id)
        return differences


class KlineLaw:
    """`market.klines.<interval>` of one symbol: closed bars, each once, in order.

    Attributes:
        first_ms: open time of the first bar.
        holes: ids (open time divided by the interval) of absent bars: the ledger must excuse them.
    """

    def __init__(self, symbol: str, interval: str) -> None:
        self._topic = f"market.klines.{interval}"
        self._symbol = symbol
        self._unit = INTERVAL_MS[interval]
        self.first_ms: int | None = None
        self.holes = IdRanges()
        self._last_ms: int | None = None

    def receive(self, message: Mapping[str, Any]) -> Differences:
        differences = Differences()
        open_ms, last_ms = message["open_time_ms"], self._last_ms
        if not message["closed"]:
            differences.add(self._topic, "broken", f"{self._symbol} {open_ms} is not closed")
        if last_ms is None:
            self.first_ms = open_ms
        elif open_ms <= last_ms:
            kind: Kind = "twice" if open_ms == last_ms else "broken"
            differences.add(self._topic, kind, f"{self._symbol} {open_ms} comes after {last_ms}")
        elif open_ms != last_ms + self._unit:
            self.holes.add(last_ms // self._unit + 1, open_ms // self._unit - 1)
        self._last_ms = max(open_ms, last_ms or 0)
        return differences


class _Side:
    """Levels of one side, sorted by price."""

    def __init__(self) -> None:
        self._prices: list[float] = []
        self._levels: dict[float, list[str]] = {}

    def apply(self, levels: list[list[str]]) -> None:
        for price, quantity in levels:
            number = float(price)
            known = number in self._levels
            if float(quantity):
                self._levels[number] = [price, quantity]
                if not known:
                    self._prices.insert(bisect_left(self._prices, number), number)
            elif known:
                del self._levels[number]
                del self._prices[bisect_left(self._prices, number)]

    def best(self, count: int, *, highest: bool) -> list[list[str]]:
        prices = self._prices[: -count - 1 : -1] if highest else self._prices[:count]
        return [self._levels[price] for price in prices]

    def edge(self, *, highest: bool) -> float | None:
        return (self._prices[-1] if highest else self._prices[0]) if self._prices else None


class DepthLaw:
    """`market.depth` of one symbol: it alone replays the book, which never crosses.

    Attributes:
        snapshots: how many there were; each but the first and the hourly ones ends a hole.
        holes: snapshots that lie beyond what the diffs before them had reached.
    """

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._bids, self._asks = _Side(), _Side()
        self._last_id: int | None = None
        self.snapshots = 0
        self.holes = 0

    @property
    def update_id(self) -> int | None:
        return self._last_id

    def receive(self, message: Mapping[str, Any]) -> Differences:
        differences = Differences()
        first, final = message["first_update_id"], message["final_update_id"]
        if message["kind"] == "snapshot":
            self.snapshots += 1
            self.holes += self._last_id is not None and final != self._last_id
            self._bids, self._asks = _Side(), _Side()
        elif self._last_id is None:
            differences.add("market.depth", "broken", f"{self._symbol} {first} comes before any snapshot")
        elif first > self._last_id + 1:
            differences.add("market.depth", "missing", f"{self._symbol} {self._last_id + 1}–{first - 1}")
        elif final <= self._last_id:
            differences.add("market.depth", "twice", f"{self._symbol} {first}–{final}")
        self._bids.apply(message["bids"])
        self._asks.apply(message["asks"])
        self._last_id = final
        bid, ask = self._bids.edge(highest=True), self._asks.edge(highest=False)
        if bid is not None and ask is not None and bid >= ask:
            differences.add(
                "market.depth", "broken", f"{self._symbol} {final}: bid {bid:g} crosses ask {ask:g}"
            )
        return differences

    def compare(self, book: Mapping[str, Any]) -> Differences:
        """A `market.book` record of the update id that the replay stands at."""
        differences = Differences()
        for name, side, highest in (("bids", self._bids, True), ("asks", self._asks, False)):
            replayed = side.best(len(book[name]) or BOOK_LEVELS, highest=highest)
            at = next(
                (i for i, pair in enumerate(zip(replayed, book[name], strict=False)) if pair[0] != pair[1]),
                None,
            )
            if replayed != book[name]:
                example = f"{self._symbol} {book['update_id']} {name} from level {at}"
                differences.add("market.book", "different", example)
        return differences


@dataclass(slots=True)
class TopicReport:
    """What the topics hold.

    Attributes:
        trades: ids on `market.trades` by symbol.
        late_trades: those of the stream that came after higher ones.
        firsts_ms: open time of the first bar of each series. bar_holes: bars between that are not there.
        books: of `market.book` compared with the replay of `market.depth`; `unreplayed` could not be.
        depth_holes: places where the replay of a book begins anew.
    """

    differences: Differences = field(default_factory=Differences)
    trades: dict[str, IdRanges] = field(default_factory=dict)
    late_trades: dict[str, IdRanges] = field(default_factory=dict)
    firsts_ms: dict[BarSeries, int] = field(default_factory=dict)
    bar_holes: dict[BarSeries, IdRanges] = field(default_factory=dict)
    books: int = 0
    unreplayed: int = 0
    depth_holes: int = 0
    dead_letters: int = 0
