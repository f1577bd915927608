"""The invariants of the topics (DESIGN §4.1), checked record by record; and the report of a whole run."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from chaos.differences import Differences, Kind
from chaos.exchange_log import BAR_FIELDS, BarSeries, Numbers
from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS
from shared.kafka import KAFKA, KafkaClients
from shared.kafka_reader import TopicReader
from shared.topics import BOOK, DEAD_LETTERS, DEPTH, TRADES, klines_topic
from shared.trade_ids import number_of

BOOK_LEVELS: Final = 20
# Of two connections' books that agree in so many levels a side.
PROVING_LEVELS: Final = 10
Message = Mapping[str, Any]
ValuesOf = Callable[[str], Iterable[str | bytes]]


class TradeInvariants:
    """`market.trades` of one symbol: no id twice, ids of the stream in order.

    Attributes:
        late: ids of the stream after higher ones; the ledger must know them as a hole.
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


class KlineInvariants:
    """`market.klines.<interval>` of one symbol: closed bars, each once, in order.

    Attributes:
        first_ms: open time of the first bar.
        holes: ids (open time divided by the interval) of absent bars; the ledger must excuse them.
        superseded: by open time, the first version of bars that came again with other content; the ledger
            must have them as revised.
    """

    def __init__(self, symbol: str, interval: str) -> None:
        self._topic = f"market.klines.{interval}"
        self._symbol = symbol
        self._unit = INTERVAL_MS[interval]
        self.first_ms: int | None = None
        self.holes = IdRanges()
        self.superseded: dict[int, Numbers] = {}
        self._last_ms: int | None = None
        self._bars: dict[int, Numbers] = {}

    def receive(self, message: Mapping[str, Any]) -> Differences:
        differences = Differences()
        open_ms, last_ms = message["open_time_ms"], self._last_ms
        numbers = tuple(float(message[name]) for name in BAR_FIELDS)
        before = self._bars.setdefault(open_ms, numbers)
        if not message["closed"]:
            differences.add(self._topic, "broken", f"{self._symbol} {open_ms} is not closed")
        if last_ms is None:
            self.first_ms = open_ms
        elif before != numbers:
            self.superseded.setdefault(open_ms, before)
            self._bars[open_ms] = numbers
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


class DepthInvariants:
    """`market.depth` of one symbol: it suffices to replay the book, which never crosses.

    Args:
        streamed: the exchange numbers no updates: when the next connection takes over, a snapshot with its
            book follows, which is no hole if the best levels are those of the replay.

    Attributes:
        snapshots: their number; each but the first and the hourly ones ends a hole.
        holes: snapshots beyond the last update id of the diffs before them.
    """

    def __init__(self, symbol: str, *, streamed: bool = False) -> None:
        self._symbol = symbol
        self._streamed = streamed
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
            again = self._last_id is not None and final != self._last_id
            self.holes += again and not (self._streamed and self._agrees_with(message))
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

    def _agrees_with(self, snapshot: Mapping[str, Any]) -> bool:
        return all(
            _numbers(side.best(PROVING_LEVELS, highest=highest)) == _numbers(snapshot[name][:PROVING_LEVELS])
            for name, side, highest in (("bids", self._bids, True), ("asks", self._asks, False))
        )

    def compare(self, book: Mapping[str, Any]) -> Differences:
        """Compare a `market.book` record with the replay at the same update id."""
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


def _numbers(levels: list[list[str]]) -> list[list[float]]:
    return [[float(text) for text in level] for level in levels]


@dataclass(slots=True)
class TopicReport:
    """The content of the topics.

    Attributes:
        trades: ids on `market.trades` by symbol.
        late_trades: those of the stream that came after higher ones.
        firsts_ms: open time of the first bar of each series. bar_holes: absent bars after it.
        superseded: first versions of bars that came again, by series and open time.
        synced: records of `market.book` of exact books.
        books: records of `market.book` compared with the replay of `market.depth`; `unreplayed` without one.
        depth_holes: snapshots at which the replay of a book begins again.
    """

    differences: Differences = field(default_factory=Differences)
    trades: dict[str, IdRanges] = field(default_factory=dict)
    late_trades: dict[str, IdRanges] = field(default_factory=dict)
    firsts_ms: dict[BarSeries, int] = field(default_factory=dict)
    bar_holes: dict[BarSeries, IdRanges] = field(default_factory=dict)
    superseded: dict[BarSeries, dict[int, Numbers]] = field(default_factory=dict)
    synced: list[Mapping[str, Any]] = field(default_factory=list)
    books: int = 0
    unreplayed: int = 0
    depth_holes: int = 0
    dead_letters: int = 0


def read_topics(
    bootstrap_servers: str,
    intervals: Sequence[str],
    *,
    streamed: bool = False,
    kafka: KafkaClients = KAFKA,
) -> TopicReport:
    """Check everything on the data topics of a broker.

    Args:
        streamed: see `DepthInvariants`.

    Raises:
        BrokerError, BrokerUnavailable: they cannot be read.
    """
    with closing(TopicReader(bootstrap_servers, kafka)) as reader:
        return report_of(
            lambda topic: (value for record in reader.whole(topic) if (value := record.value()) is not None),
            intervals,
            streamed=streamed,
        )


def report_of(values: ValuesOf, intervals: Sequence[str], *, streamed: bool = False) -> TopicReport:
    """Check everything on the data topics. Pure.

    Args:
        values: of a topic's records up to its present end, each partition's in order.
        streamed: see `DepthInvariants`.
    """
    report = TopicReport()
    _trades(_messages(values, TRADES), report)
    for interval in intervals:
        _bars(_messages(values, klines_topic(interval)), interval, report)
    _books(_messages(values, BOOK), _messages(values, DEPTH), report, streamed=streamed)
    report.dead_letters = sum(1 for _ in values(DEAD_LETTERS))
    return report


def _trades(messages: Iterable[Message], report: TopicReport) -> None:
    by_symbol: dict[str, TradeInvariants] = {}
    for message in messages:
        invariants = by_symbol.setdefault(message["symbol"], TradeInvariants(message["symbol"]))
        report.differences.update(invariants.receive(message))
    report.trades = {symbol: invariants.ids for symbol, invariants in by_symbol.items()}
    report.late_trades = {symbol: invariants.late for symbol, invariants in by_symbol.items()}


def _bars(messages: Iterable[Message], interval: str, report: TopicReport) -> None:
    by_symbol: dict[str, KlineInvariants] = {}
    for message in messages:
        invariants = by_symbol.setdefault(message["symbol"], KlineInvariants(message["symbol"], interval))
        report.differences.update(invariants.receive(message))
    for symbol, invariants in by_symbol.items():
        if invariants.first_ms is not None:
            report.firsts_ms[symbol, interval] = invariants.first_ms
            report.bar_holes[symbol, interval] = invariants.holes
        if invariants.superseded:
            report.superseded[symbol, interval] = invariants.superseded


def _books(
    published: Iterable[Message], updates: Iterable[Message], report: TopicReport, *, streamed: bool
) -> None:
    books: defaultdict[str, dict[int, Any]] = defaultdict(dict)
    for message in published:
        if message["synced"]:
            books[message["symbol"]][message["update_id"]] = message
            report.synced.append(message)
    by_symbol: dict[str, DepthInvariants] = {}
    for message in updates:
        symbol = message["symbol"]
        invariants = by_symbol.setdefault(symbol, DepthInvariants(symbol, streamed=streamed))
        report.differences.update(invariants.receive(message))
        book = books[message["symbol"]].pop(message["final_update_id"], None)
        if book is not None:
            report.books += 1
            report.differences.update(invariants.compare(book))
    report.unreplayed = sum(map(len, books.values()))
    report.depth_holes = sum(invariants.holes for invariants in by_symbol.values())


def _messages(values: ValuesOf, topic: str) -> Iterator[Message]:
    return map(orjson.loads, values(topic))
