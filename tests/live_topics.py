"""Topics, taps and pages as the live half of the API meets them, without Kafka and without sockets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from api.hub import Activate, Fetch
from consumers.tap.port import Arrived, Event, Fetched, Filled, LiveRow, OnEvents, Source
from consumers.tap.series import LiveColumn, LiveKind, LiveSeries
from shared.errors import UsageError

BAR_TAGS: Final = ("exchange", "symbol", "interval")
KINDS: Final = {
    kind.name: kind
    for kind in (
        LiveKind("kline", BAR_TAGS, (LiveColumn("open", "float"), LiveColumn("close", "float")), "exact"),
        LiveKind("open_bar", BAR_TAGS, (LiveColumn("close", "float"),), "latest"),
        LiveKind(
            "trade",
            ("exchange", "symbol"),
            (LiveColumn("trade_id", "int"), LiveColumn("price", "float")),
            "tape",
        ),
        LiveKind(
            "levels",
            ("exchange", "symbol"),
            (LiveColumn("synced", "bool"), LiveColumn("bids", "levels")),
            "latest",
        ),
        LiveKind(
            "ledger", ("exchange", "symbol", "stream", "interval"), (LiveColumn("lost", "int"),), "exact"
        ),
        LiveKind(
            "freshness",
            ("exchange", "stream", "hop", "instance"),
            tuple(LiveColumn(name, "float") for name in ("p50", "p95", "p99")),
            "latest",
        ),
    )
}
KLINE: Final = LiveSeries("kline", ("binance", "BTCUSDC", "1m"))
OPEN_BAR: Final = LiveSeries("open_bar", ("binance", "BTCUSDC", "1m"))
TRADE: Final = LiveSeries("trade", ("binance", "BTCUSDC"))
LEVELS: Final = LiveSeries("levels", ("binance", "BTCUSDC"))
_TOPICS: Final = {"kline": "market.klines.1m", "trade": "market.trades", "levels": "market.book"}
MINUTE_MS: Final = 60_000
START_MS: Final = 1_700_000_000_000 // MINUTE_MS * MINUTE_MS


def subscribe(series: LiveSeries, number: int = 1, **more: Any) -> str:
    """The request for a series."""
    tags = dict(zip(KINDS[series.name].tags, series.tags, strict=True))
    return json.dumps({"subscribe": [{"id": number, "series": series.name, **tags, **more}]})


@dataclass
class Topic:
    """The records of one series; each is a row. Its end is what a replica has read of it."""

    series: LiveSeries
    epoch: str = "aaaaaa"
    records: list[LiveRow] = field(default_factory=list)
    low: int = 0

    @property
    def source(self) -> Source | None:
        topic = _TOPICS.get(self.series.name)
        return None if topic is None else Source(topic, 3, self.epoch)

    def append(self, time_ms: int, *values: Any) -> LiveRow:
        offset = len(self.records) if self.source else -1
        row = LiveRow(time_ms * 1_000_000, values, offset, time_ms)
        self.records.append(row)
        return row

    def filled(self, end: int, most: int) -> Filled:
        """The answer to a subscription when records before `end` are read."""
        low = max(self.low, end - most)
        return Filled(self.series, self.source, tuple(self.records[low:end]), low, end)

    def arrived(self, start: int, end: int) -> Arrived:
        return Arrived(self.series, tuple(self.records[start:end]), end)

    def fetched(self, request: int, offset: int, end: int) -> Fetched:
        if offset < self.low:
            return Fetched(request, self.series, None, "the records are not kept any more")
        return Fetched(request, self.series, tuple(self.records[offset:end]))


class FakeTaps:
    """The port of the taps over topics that a test appends to. Answers at once, on the caller's thread.

    Args:
        most: records that a fill reads.
    """

    def __init__(self, on_events: OnEvents, topics: Sequence[Topic], most: int = 100) -> None:
        self._on_events = on_events
        self._topics = {topic.series: topic for topic in topics}
        self._most = most
        self._read: dict[LiveSeries, int] = {}
        self.started = self.closed = False

    def start(self) -> None:
        self.started = True

    def activate(self, series: LiveSeries) -> None:
        topic = self._topics.get(series)
        if topic is None:
            raise UsageError(f"{series.name}: {'/'.join(series.tags)} is not read; choose another")
        if series not in self._read:
            self._read[series] = len(topic.records)
            self._on_events([topic.filled(len(topic.records), self._most)])

    def fetch(self, request: int, series: LiveSeries, offset: int) -> None:
        topic = self._topics[series]
        self._on_events([topic.fetched(request, offset, self._read[series])])

    def drop(self, exchange: str, symbol: str) -> None:
        for series in [each for each in self._read if each.tags[:2] == (exchange, symbol)]:
            del self._read[series]

    def read(self) -> None:
        """Hand over what was appended to active series."""
        events: list[Event] = []
        for series, start in self._read.items():
            topic = self._topics[series]
            events.append(topic.arrived(start, len(topic.records)))
            self._read[series] = len(topic.records)
        self._on_events(events)

    @property
    def bad_records(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True


@dataclass
class PageSeries:
    """What a page holds of a subscription: rows by time, and all that came since it began."""

    columns: list[str] = field(default_factory=list)
    rows: dict[Any, list[Any]] = field(default_factory=dict)
    came: list[list[Any]] = field(default_factory=list)
    cursor: str | None = None
    skipped: int = 0
    restarts: list[str] = field(default_factory=list)
    states: list[tuple[str, str]] = field(default_factory=list)
    gaps: list[list[Any]] = field(default_factory=list)


class Page:
    """A client as the browser is one: upserts rows by identity, forgets at a restart."""

    def __init__(self) -> None:
        self.series: dict[int, PageSeries] = {}
        self.frames: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []

    def read(self, message: str | bytes) -> None:
        content = json.loads(message)
        match content:
            case {"subscribed": about}:
                held = self.series.setdefault(about["id"], PageSeries())
                held.columns, held.gaps = about["columns"], about["gaps"]
            case {"restart": number, "reason": reason}:
                held = self.series[number]
                held.rows.clear()
                held.came.clear()
                held.cursor = None
                held.restarts.append(reason)
            case {"error": error}:
                self.errors.append(error)
            case {"frame": _}:
                self._frame(content)

    def _frame(self, frame: dict[str, Any]) -> None:
        self.frames.append(frame)
        for number, rows in frame.get("rows", ()):
            held = self.series[number]
            for row in rows:
                held.came.append(row)
                held.rows[row[0]] = row
        for number, cursor in frame.get("cursor", {}).items():
            self.series[int(number)].cursor = cursor
        for number, count in frame.get("skipped", {}).items():
            self.series[int(number)].skipped += count
        for number, name, _, cause in frame.get("state", ()):
            self.series[number].states.append((name, cause))
        for number, *gap in frame.get("gaps", ()):
            self.series[number].gaps.append(gap)


def answered(effect: Activate | Fetch, topic: Topic, end: int, most: int) -> Event:
    """What a tap answers that has read the records before `end`."""
    match effect:
        case Activate():
            return topic.filled(end, most)
        case Fetch(request, _, offset):
            return topic.fetched(request, offset, end)
