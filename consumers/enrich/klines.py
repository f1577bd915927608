"""Klines of one interval → `kline`, `indicator`, `kline_live`, `indicator_live` points (DESIGN §4.3, §5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from consumers.arrival import AHEAD_MS, require_arrived, require_time
from consumers.enrich.kline_series import (
    ANY_OFFSET,
    UNKNOWN_ORIGIN,
    KlineSeries,
    Snapshot,
    checksum,
    dump_snapshot,
    load_snapshot,
)
from consumers.enrich.port import Commit, Enriched, Known, Record, Start, StateRecord
from consumers.indicators.bars import Bar
from consumers.measurements import INDICATOR, INDICATOR_LIVE, KLINE, KLINE_LIVE, Point, Series, Value
from shared.errors import InvalidMessage
from shared.intervals import interval_ms
from shared.ledger import LedgerSeries, PendingEvents
from shared.messages import KlineMessage, decode, message_key
from shared.topics import klines_topic

# A snapshot of all indicators is some 16 kB: one per series and 30 s, more often only when catching up.
SNAPSHOT_PERIOD_MS: Final = 30_000
SNAPSHOT_BARS: Final = 60
# To a state that contains a future bar all other bars would be late. Our own clock being a day behind is no
# reason to rebuild; the tolerance of single bars is `AHEAD_MS`.
_STATE_AHEAD_MS: Final = 86_400_000 + AHEAD_MS
_TOO_LATE: Final = "too late for the indicators, which continued without it; the bar itself is stored"
_REVISED: Final = "the bar arrived again with other values"
_TOO_OLD: Final = "the bar arrived again so late that its first values are no longer known; it is stored"


class Indicators(Protocol):
    """What the enricher needs of an indicator set (`consumers.indicators.registry.IndicatorSet`)."""

    @property
    def columns(self) -> tuple[str, ...]: ...
    def initial(self) -> Any: ...
    def step(self, state: Any, bar: Bar) -> tuple[Any, tuple[float, ...]]: ...
    def values(self, state: Any, bar: Bar) -> tuple[float, ...]: ...
    def dump(self, state: Any) -> bytes: ...
    def load(self, data: bytes) -> Any: ...


class KlineEnricher:
    """Closed bars step the indicators; the open bar gets its values from a fork of the closed state.

    Args:
        live_interval_ms: least distance of a series' live points, in ms of message time.
        keeps_state: snapshots are written (not on the memory broker).
        rebuilt_from_store: states come by `seed`, so that reading resumes at the committed offset.
    """

    def __init__(
        self,
        interval: str,
        indicators: Indicators,
        *,
        live_interval_ms: int,
        keeps_state: bool = True,
        rebuilt_from_store: bool = False,
    ) -> None:
        self._interval = interval
        self._interval_ms = interval_ms(interval)
        self._closed_topic = klines_topic(interval)
        self._indicators = indicators
        self._live_interval_ms = live_interval_ms
        self._keeps_state = keeps_state
        self._rebuilt_from_store = rebuilt_from_store
        self._series: dict[bytes, KlineSeries] = {}
        # Of states that could not be used: the open time of the first bar in them.
        self._superseded: dict[bytes, int] = {}
        # Series that begin before this offset of their partition had a state, which is gone.
        self._rebuilt_before: dict[int, int] = {}
        self._tags: dict[bytes, tuple[Series, Series, Series, Series, LedgerSeries]] = {}
        self._live: dict[bytes, tuple[int, int]] = {}  # open time and time of the last live point
        self._indicator = INDICATOR.with_columns(indicators.columns)
        self._indicator_live = INDICATOR_LIVE.with_columns(indicators.columns)

    def decode(self, topic: str, value: bytes | None) -> KlineMessage:
        message: KlineMessage = decode("kline", value)
        if message["interval"] != self._interval:
            raise InvalidMessage("interval", message["interval"], f"{self._interval}, the topic's interval")
        open_time_ms = message["open_time_ms"]
        require_time("open_time_ms", open_time_ms)
        if open_time_ms % self._interval_ms and not self._is_beside(message):
            raise InvalidMessage("open_time_ms", open_time_ms, f"a multiple of {self._interval_ms} ms")
        if message["closed"] != (topic == self._closed_topic):
            raise InvalidMessage("closed", message["closed"], f"as topic {topic} says")
        if message["closed"]:
            require_arrived("close_time_ms", open_time_ms + self._interval_ms - 1, message)
        else:
            require_arrived("open_time_ms", open_time_ms, message)
        return message

    def _is_beside(self, message: KlineMessage) -> bool:
        """A bar off the interval's grid, from an archive of a time when the exchange's grid was shifted."""
        length_ms = message["close_time_ms"] + 1 - message["open_time_ms"]
        return 0 < length_ms <= self._interval_ms and message["closed"] and message["source"] == "backfill"

    # -- partitions and state --------------------------------------------------------------------------

    def assign(self, partition: int, known: Known) -> Start:
        resume = known.resume
        if not self._keeps_state:
            return Start(resume if self._rebuilt_from_store else known.low)
        unusable = [
            f"{key.decode(errors='replace')}: {reason}"
            for key, value in known.snapshots.items()
            if (reason := self._restore(partition, key, value, known)) is not None
        ]
        if resume > known.low > 0 and not known.snapshots:
            self._rebuilt_before[partition] = resume
        if unusable and resume > known.low:
            return Start(known.low, f"rebuilding indicators from the topic ({'; '.join(unusable[:3])})")
        if not known.snapshots and resume > known.low:
            return Start(known.low, "no indicator state, rebuilding it from the topic")
        return Start(resume, known.note)

    def revoke(self, partition: int) -> None:
        self._rebuilt_before.pop(partition, None)
        for key in [key for key, series in self._series.items() if series.partition == partition]:
            del self._series[key]
            self._live.pop(key, None)
            self._superseded.pop(key, None)

    def _restore(self, partition: int, key: bytes, value: bytes, known: Known) -> str | None:
        """Restore a snapshot; the reason if it cannot be used."""
        try:
            snapshot: Snapshot = load_snapshot(value)
        except ValueError as error:
            if known.low > 0:  # else all bars are there
                self._superseded[key] = UNKNOWN_ORIGIN
            return str(error)
        closed_ms = snapshot.last_open_time_ms + self._interval_ms
        if known.now_ms and closed_ms > known.now_ms + _STATE_AHEAD_MS:
            self._superseded[key] = snapshot.first_open_time_ms
            return f"its last bar, of {snapshot.last_open_time_ms}, is of the future"
        try:
            state = self._indicators.load(snapshot.state)
        except ValueError as error:
            self._superseded[key] = snapshot.first_open_time_ms
            return str(error)
        series = KlineSeries(key, partition, state)
        series.first_open_time_ms = snapshot.first_open_time_ms
        series.last_open_time_ms = snapshot.last_open_time_ms
        series.recent = snapshot.recent
        series.holes = snapshot.holes
        # New bars are recognised by open times, never by offsets: after a broker lost the end of the topic,
        # or the topic was recreated, other bars have the offsets of those in the state.
        series.reread_until_ms = snapshot.last_open_time_ms
        series.reread_before = max(known.read_before, snapshot.offset + 1)
        self._series[key] = series
        return None

    def unknown_series(self, records: Sequence[Record]) -> dict[tuple[str, str], int]:
        """Series of the batch that have no state, with their partition; for `seed`."""
        return {
            (message["exchange"], message["symbol"]): partition
            for partition, _, message in records
            if message_key(message["exchange"], message["symbol"]) not in self._series
        }

    def seed(self, exchange: str, symbol: str, partition: int, bars: Iterable[Bar]) -> None:
        """Begin a series with the store's bars, in order; not at all if to read them fails."""
        series = KlineSeries(message_key(exchange, symbol), partition, self._indicators.initial())
        for bar in bars:
            series.state, _ = self._indicators.step(series.state, bar)
            if series.first_open_time_ms < 0:
                series.first_open_time_ms = bar.open_time_ms
            series.advance(bar.open_time_ms, self._interval_ms)
            series.reread_until_ms = bar.open_time_ms
            series.reread_before = ANY_OFFSET
        self._series[series.key] = series

    def recall(self, exchange: str, symbol: str, bars: Iterable[tuple[int, tuple[Value, ...]]]) -> None:
        """Know the newest of a seeded series' bars again, should they come with other values.

        Args:
            bars: open time in ms, and the values in the order of the measurement's columns.
        """
        series = self._series[message_key(exchange, symbol)]
        for open_time_ms, values in bars:
            series.remember(open_time_ms, checksum(values))

    def state_due(self, now_ms: int, *, everything: bool) -> list[StateRecord]:
        if not self._keeps_state:
            return []
        due = []
        for series in self._series.values():
            if series.dirty_from is None:
                continue
            # The period runs from the first checkpoint that finds the series changed.
            series.snapshot_ms = series.snapshot_ms or now_ms
            waited = now_ms - series.snapshot_ms >= SNAPSHOT_PERIOD_MS
            if everything or waited or series.dirty_bars >= SNAPSHOT_BARS:
                value = dump_snapshot(series, self._indicators.dump(series.state))
                due.append(StateRecord(series.partition, series.key, value))
                series.snapshot_ms = now_ms
        return due

    def state_stored(self, records: Sequence[StateRecord]) -> None:
        for record in records:
            series = self._series[record.key]
            series.dirty_from, series.dirty_bars = None, 0

    def committable(self, partition: int, position: int) -> Commit:
        """Never past the oldest snapshot of the partition (DESIGN §5.2)."""
        if not self._keeps_state:
            return Commit(position)
        held = (
            series.dirty_from
            for series in self._series.values()
            if series.partition == partition and series.dirty_from is not None
        )
        return Commit(min(held, default=position))

    # -- the batch -------------------------------------------------------------------------------------

    def receive(self, records: Sequence[Record], now_ms: int) -> Enriched:  # noqa: ARG002
        points: list[Point] = []
        events = PendingEvents()
        live: dict[bytes, KlineMessage] = {}
        for partition, offset, message in records:
            key = message_key(message["exchange"], message["symbol"])
            if message["closed"]:
                self._closed(key, (partition, offset, message), points, events)
            else:
                live[key] = message
        # After the closed bars, so that the newest open bar forks from the newest state.
        for key, message in live.items():
            self._open(key, message, points)
        return Enriched(points, events)

    def finish(self) -> Enriched:
        return Enriched([], PendingEvents())

    def ledger_id(self, point: Point) -> tuple[LedgerSeries, int] | None:
        if point.series.measurement is not KLINE:
            return None
        exchange, symbol, interval = point.series.tags
        series = LedgerSeries(exchange, symbol, "klines", interval)
        return series, point.time_ns // 1_000_000 // self._interval_ms

    def _closed(
        self, key: bytes, record: tuple[int, int, KlineMessage], points: list[Point], events: PendingEvents
    ) -> None:
        partition, offset, message = record
        series = self._series.get(key) or self._begin(key, partition, offset)
        klines, indicators, _, _, counted = self._tags.get(key) or self._tag(key, message)
        open_time_ms = message["open_time_ms"]
        number = open_time_ms // self._interval_ms
        values = _values(message)
        time_ns = open_time_ms * 1_000_000
        if series.has_read(offset, number, open_time_ms):
            # Written and reported again: whether the ledger has the event is unknown.
            if series.differs(open_time_ms, crc := checksum(values)):
                if series.reread_before == ANY_OFFSET:  # it may not be the one that was told of
                    events.add(counted, "revised", number, number, _REVISED)
                series.replaced(offset, open_time_ms, crc)
            points.append(Point(klines, time_ns, values))
            events.add(counted, "stored", number, number)
            return
        if open_time_ms <= series.last_open_time_ms:
            self._not_later(series, counted, open_time_ms, values, events)
            points.append(Point(klines, time_ns, values))
        else:
            bar = _bar(open_time_ms, values)
            series.state, indicator_values = self._indicators.step(series.state, bar)
            series.advance(open_time_ms, self._interval_ms)
            points.append(Point(klines, time_ns, values))
            points.append(Point(indicators, time_ns, indicator_values))
            if series.first_open_time_ms < 0:
                self._first(series, counted, open_time_ms, events)
        series.remember(open_time_ms, checksum(values))
        series.absorbed(offset)
        events.add(counted, "stored", number, number)

    def _not_later(
        self,
        series: KlineSeries,
        counted: LedgerSeries,
        open_time_ms: int,
        values: tuple[Value, ...],
        events: PendingEvents,
    ) -> None:
        """A bar before the indicators' last one: it is stored, they are not recomputed."""
        number = open_time_ms // self._interval_ms
        if series.fill(open_time_ms, self._interval_ms):
            events.add(counted, "late", number, number, _TOO_LATE)
        elif (before := series.recent.get(open_time_ms)) is None:
            events.add(counted, "late", number, number, _TOO_OLD)
        elif before == checksum(values):
            events.add(counted, "duplicate", number, number)
        else:
            events.add(counted, "revised", number, number, _REVISED)

    def _first(
        self, series: KlineSeries, counted: LedgerSeries, open_time_ms: int, events: PendingEvents
    ) -> None:
        series.first_open_time_ms = open_time_ms
        origin_ms = series.superseded_origin_ms
        if origin_ms is not None and origin_ms != open_time_ms:
            number = open_time_ms // self._interval_ms
            before = "an unknown time" if origin_ms == UNKNOWN_ORIGIN else origin_ms
            detail = f"indicators were rebuilt and sum from {open_time_ms} instead of {before}"
            events.add(counted, "revised", number, number, detail)

    def _open(self, key: bytes, message: KlineMessage, points: list[Point]) -> None:
        open_time_ms, now_ms = message["open_time_ms"], message["received_time_ms"]
        series = self._series.get(key)
        if series is not None and open_time_ms <= series.last_open_time_ms:
            return
        last_open_time_ms, last_ms = self._live.get(key, (-1, 0))
        if open_time_ms == last_open_time_ms and 0 <= now_ms - last_ms < self._live_interval_ms:
            return
        self._live[key] = (open_time_ms, now_ms)
        _, _, klines, indicators, _ = self._tags.get(key) or self._tag(key, message)
        values = _values(message)
        points.append(Point(klines, open_time_ms * 1_000_000, values))
        if series is not None and series.last_open_time_ms == open_time_ms - self._interval_ms:
            bar = _bar(open_time_ms, values)
            points.append(
                Point(indicators, open_time_ms * 1_000_000, self._indicators.values(series.state, bar))
            )

    def _begin(self, key: bytes, partition: int, offset: int) -> KlineSeries:
        series = self._series[key] = KlineSeries(key, partition, self._indicators.initial())
        is_rebuilt = offset < self._rebuilt_before.get(partition, 0)
        series.superseded_origin_ms = self._superseded.pop(key, UNKNOWN_ORIGIN if is_rebuilt else None)
        return series

    def _tag(self, key: bytes, message: KlineMessage) -> tuple[Series, Series, Series, Series, LedgerSeries]:
        tags = (message["exchange"], message["symbol"], self._interval)
        self._tags[key] = (
            Series(KLINE, tags),
            Series(self._indicator, tags),
            Series(KLINE_LIVE, tags),
            Series(self._indicator_live, tags),
            LedgerSeries(message["exchange"], message["symbol"], "klines", self._interval),
        )
        return self._tags[key]


def _values(message: KlineMessage) -> tuple[Value, ...]:
    """In the order of the measurement's columns."""
    return (
        float(message["open"]),
        float(message["high"]),
        float(message["low"]),
        float(message["close"]),
        float(message["base_volume"]),
        float(message["quote_volume"]),
        float(message["taker_buy_base_volume"]),
        float(message["taker_buy_quote_volume"]),
        message["trade_count"],
    )


def _bar(open_time_ms: int, values: Any) -> Bar:
    return Bar(open_time_ms, *values[:5])
