"""The newest bars of a series with their indicators, bit-equal to those that the consumer stores.

Indicators continue from the newest state on the state topic; those of earlier bars come from the store, or
are announced as a hole. A short topic that is whole is replayed from its first record instead.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, NamedTuple, Protocol

import orjson

from consumers.enrich.kline_series import load_snapshot, snapshot_time_ms
from consumers.enrich.klines import Indicators
from consumers.enrich.port import Known
from consumers.indicators.bars import Bar
from consumers.measurements import INDICATOR, INDICATOR_LIVE, KLINE, KLINE_LIVE
from consumers.stores.port import Row
from consumers.tap.bars import BarTap, OnUpdates
from consumers.tap.fill import RING_BARS, FilledSeries, Filling, Rows, batches
from consumers.tap.port import Hole, LiveRow
from consumers.tap.reading import PartitionReader, newest
from consumers.tap.records import BadRecords, RawRecord
from consumers.tap.series import LiveSeries
from shared.errors import StoreUnavailable
from shared.intervals import interval_ms
from shared.kafka_reader import PartitionId
from shared.messages import message_key
from shared.topics import indicator_state_topic, klines_live_topic, klines_topic

# A topic of so many records is replayed within a second.
SHORT: Final = 5_000
# A chart waits no longer for indicators of the store; to begin with its bars takes as long as it takes.
ANSWER_S: Final = 1.0
SEED_S: Final = 60.0
_MAX_HOLES: Final = 10
_NO_STORE: Final = "computed before this service began, and the store does not answer"
_NOT_STORED: Final = "computed before this service began, and the store does not have them"


class Stored(Protocol):
    """Rows of the store, if it answers at once."""

    def rows(
        self, measurement: str, tags: Mapping[str, str], span: tuple[int | None, int | None], within_s: float
    ) -> list[Row] | None:
        """Rows in ascending time; None if the store does not answer in time.

        Args:
            span: [from_ns, to_ns).
        """


@dataclass(frozen=True, slots=True)
class BarSources:
    """What bars are made of, besides their records.

    Attributes:
        keeps_state: not on the in-memory broker.
        seeded: earlier bars come from the store (`--rebuild-from-store`).
    """

    indicators: Indicators
    keeps_state: bool
    stored: Stored
    seeded: bool
    bad: BadRecords


def fill_bars(
    reader: PartitionReader,
    tags: tuple[str, str, str],
    sources: BarSources,
    on_updates: OnUpdates | None = None,
) -> Filling:
    """Read the series' newest bars, and the last update of the open one."""
    exchange, symbol, interval = tags
    key = message_key(exchange, symbol)
    closed_at, live_at = (
        reader.partition(topic, key) for topic in (klines_topic(interval), klines_live_topic(interval))
    )
    low, end = reader.bounds(closed_at)
    replay = _Replay(reader, closed_at, (low, end), key)
    tap, start, records, computed = (_by_state if sources.keeps_state else _without_state)(
        replay, tags, sources, on_updates
    )
    rows = Rows(RING_BARS)
    for batch in batches(records):
        rows.add(tap.receive(batch))
    live_low, live_end = reader.bounds(live_at)
    live, live_start = newest(reader, live_at, (live_low, live_end), key, bool)
    rows.add(tap.receive(live))
    klines = rows.filled(LiveSeries(KLINE.name, tags), closed_at, (start, end))
    indicators = rows.filled(LiveSeries(INDICATOR.name, tags), closed_at, (start, end))
    indicators = _with_stored(indicators, klines, computed, sources, interval_ms(interval))
    lives = [
        rows.filled(LiveSeries(name, tags), live_at, (live_start, live_end))
        for name in (KLINE_LIVE.name, INDICATOR_LIVE.name)
    ]
    return Filling(tap, (klines, indicators, *lives), {closed_at: end, live_at: live_end})


@dataclass(frozen=True, slots=True)
class _Replay:
    """Reads the records of closed bars."""

    reader: PartitionReader
    at: PartitionId
    span: tuple[int, int]
    key: bytes

    def back(self) -> tuple[list[RawRecord], int]:
        """The newest bars, and the offset from which on they are all."""
        return newest(self.reader, self.at, self.span, self.key, lambda found: len(found) >= RING_BARS)

    def on_from(self, offset: int) -> Iterator[RawRecord]:
        """All bars from an offset to the end."""
        return self.reader.read(self.at, offset, self.span[1], self.key)

    def between(self, offset: int, end: int) -> Iterator[RawRecord]:
        return self.reader.read(self.at, offset, end, self.key)


class _Begun(NamedTuple):
    """Attributes:
    start: first offset of the records. computed: offset from which on their indicators are computed.
    """

    tap: BarTap
    start: int
    records: Iterator[RawRecord]
    computed: int


def _by_state(
    replay: _Replay, tags: tuple[str, str, str], sources: BarSources, on_updates: OnUpdates | None
) -> _Begun:
    """From the newest state, or from the first record if that gives the same."""
    state = _newest_state(replay, tags[2])
    tap = BarTap(tags, sources.indicators, sources.bad, on_updates)
    low, high = replay.span
    if low == 0 and high <= SHORT:
        records = list(replay.on_from(0))
        if state is None or _leads_to(state, records, tags, sources):
            return _Begun(tap, 0, iter(records), 0)
    snapshots = {} if state is None else {replay.key: state}
    committed = None if state is None else _next_offset(state)
    known = Known(low, high, committed, snapshots=snapshots, now_ms=time.time_ns() // 1_000_000)
    computed = tap.restore(replay.at[1], known)
    newest_bars, first = replay.back()
    if computed >= first:
        return _Begun(tap, first, iter(newest_bars), computed)
    return _Begun(tap, computed, chain(replay.between(computed, first), newest_bars), computed)


def _newest_state(replay: _Replay, interval: str) -> bytes | None:
    """A fenced consumer may have written an older state last: the latest bar decides."""
    at = indicator_state_topic(interval), replay.at[1]
    state: bytes | None = None
    for record in replay.reader.read(at, *replay.reader.bounds(at), replay.key):
        value = record.value
        if value is None or state is None or snapshot_time_ms(value) >= snapshot_time_ms(state):
            state = value
    return state


def _leads_to(
    state: bytes, records: Sequence[RawRecord], tags: tuple[str, str, str], sources: BarSources
) -> bool:
    """Whether these records alone lead to the state; not if it was repaired, or began with other records."""
    try:
        snapshot = load_snapshot(state)
    except ValueError:
        return True  # the consumer rebuilds it from the same records
    tap = BarTap(tags, sources.indicators, BadRecords())
    tap.receive([record for record in records if record.offset <= snapshot.offset])
    reached = tap.state()
    return reached is not None and load_snapshot(reached).state == snapshot.state


def _without_state(
    replay: _Replay, tags: tuple[str, str, str], sources: BarSources, on_updates: OnUpdates | None
) -> _Begun:
    """The in-memory broker: from the first record, after the store's bars if those came before.

    Raises:
        StoreUnavailable: the store does not give them.
    """
    tap = BarTap(tags, sources.indicators, sources.bad, on_updates)
    low, _ = replay.span
    records = list(replay.on_from(low))
    if sources.seeded:
        begin_ms = _origin(records)
        named = dict(zip(KLINE.tags, tags, strict=True))
        to_ns = None if begin_ms is None else begin_ms * 1_000_000
        rows = sources.stored.rows(KLINE.name, named, (None, to_ns), SEED_S)
        if rows is None:
            raise StoreUnavailable("the store does not give the bars that indicators begin with")
        tap.seed(replay.at[1], map(bar_of, rows))
    return _Begun(tap, low, iter(records), low)


def _with_stored(
    computed: FilledSeries, klines: FilledSeries, from_offset: int, sources: BarSources, step_ms: int
) -> FilledSeries:
    """Add the stored indicators of bars before `from_offset`; what is missing is a hole."""
    known = {row.time_ns for row in computed.rows}
    missing = {
        row.time_ns: row for row in klines.rows if row.offset < from_offset and row.time_ns not in known
    }
    if not missing:
        return computed._replace(low=max(klines.low, computed.low))
    times = sorted(missing)
    found, cause = stored_indicators(sources, computed.series, missing)
    gone = [time_ns for time_ns in times if time_ns not in found]
    by_time = sorted((*found.values(), *computed.rows), key=lambda row: row.time_ns)
    dropped, kept = by_time[:-RING_BARS], by_time[-RING_BARS:]
    low = max(klines.low, from_offset) if gone else klines.low
    # A bar that was repaired lies behind later ones on its topic.
    low = max((low, *(row.offset + 1 for row in dropped)))
    rows = sorted(kept, key=lambda row: row.offset)
    return computed._replace(rows=tuple(rows), low=low, holes=_holes(gone, step_ms, cause))


def stored_indicators(
    sources: BarSources, series: LiveSeries, bars: Mapping[int, LiveRow]
) -> tuple[dict[int, LiveRow], str]:
    """Stored indicators of these bars by their time, and why others are missing."""
    times = sorted(bars)
    named = dict(zip(INDICATOR.tags, series.tags, strict=True))
    rows = sources.stored.rows(INDICATOR.name, named, (times[0], times[-1] + 1), ANSWER_S)
    if rows is None:
        return {}, _NO_STORE
    columns = sources.indicators.columns
    found = {}
    for row in rows:
        time_ns = int(row["time_ns"] or 0)
        bar = bars.get(time_ns)
        if bar is not None:
            # Indicators are float64 columns.
            values: tuple[Any, ...] = tuple(row.get(column) for column in columns)
            found[time_ns] = LiveRow(time_ns, values, bar.offset, bar.event_ms)
    return found, _NOT_STORED


def _holes(times_ns: Sequence[int], step_ms: int, cause: str) -> tuple[Hole, ...]:
    """Spans of bars that are missing; of too many the oldest are joined."""
    holes: list[Hole] = []
    for time_ns in times_ns:
        begin_ms = time_ns // 1_000_000
        if holes and holes[-1].to_ms == begin_ms:
            holes[-1] = holes[-1]._replace(to_ms=begin_ms + step_ms)
        else:
            holes.append(Hole(begin_ms, begin_ms + step_ms, cause))
    if len(holes) > _MAX_HOLES:
        joined = len(holes) - _MAX_HOLES
        holes[: joined + 1] = [Hole(holes[0].from_ms, holes[joined].to_ms, cause)]
    return tuple(holes)


def bar_of(row: Row) -> Bar:
    """A stored bar as the indicators take it."""
    prices = (row[name] for name in ("open", "high", "low", "close", "base_volume"))
    return Bar(int(row["time_ns"] or 0) // 1_000_000, *(float(value or 0.0) for value in prices))


def _next_offset(state: bytes) -> int | None:
    """The record after those in a state; None for an unreadable one."""
    try:
        return load_snapshot(state).offset + 1
    except ValueError:
        return None


def _origin(records: Sequence[RawRecord]) -> int | None:
    """Open time of the first bar; None if there is none that can be read."""
    for record in records:
        try:
            open_time_ms = orjson.loads(record.value or b"")["open_time_ms"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            continue
        if type(open_time_ms) is int:
            return open_time_ms
    return None
