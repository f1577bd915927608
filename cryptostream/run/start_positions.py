"""Start positions of each series from the store, for a run on the memory broker (DESIGN §7).

The memory broker forgets progress and ledger. The store does not: the newest trade ids and open times become
the producers' start positions, with the holes below them that its ledger rows and the trades of the last
minutes show. The ids of each series' newest minute, and of those with holes, become ledger events again, so
that the ledger's rows of these minutes stay whole, and what is missing stays expected until it is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from consumers.measurements import CARRIAGE
from consumers.stores.port import Reader, Row
from consumers.stores.storable import TICKS_EXPIRY_NS
from producers.start_positions import OpenHole
from producers.uncarried_spans import stored_series
from shared.errors import BrokerUnavailable
from shared.intervals import INTERVAL_MS
from shared.kafka import KAFKA, producer_config
from shared.kafka_reader import TopicReader
from shared.ledger import LedgerSeries, ledger_record
from shared.messages import LedgerMessage, encode, message_key
from shared.models import LedgerKind
from shared.topics import LEDGER, LEDGER_SNAPSHOT
from shared.trade_ids import split

_MINUTE_NS: Final = 60_000_000_000
_MS: Final = 1_000_000
_FLUSH_S: Final = 10.0
# How far back trades are searched for holes that a killed run could not report to the ledger.
_HOLES_NS: Final = 10 * _MINUTE_NS
# Older holes are left to `cryptostream repair`: rows that expire meanwhile would look like holes.
_REMEMBERED_NS: Final = TICKS_EXPIRY_NS - 86_400 * 10**9
# Growing spans in which the trade after a hole is searched.
_WIDTHS_NS: Final = (_MINUTE_NS, 60 * _MINUTE_NS, TICKS_EXPIRY_NS)

_Trade = tuple[int, int]  # number, time in ns


@dataclass(frozen=True, slots=True)
class StartPositions:
    """Start positions and open holes.

    Attributes:
        last_ids: `binance:BTCUSDC:trades` → the newest trade id;
            `binance:BTCUSDC:klines:1m` → open time of the newest closed bar, in ms.
        times_ms: trade times of the newest trades.
        missing: holes below them that earlier runs have left open.
        uncarried: `binance:BTCUSDC:uncarried:klines 1m` → since when the stream is not carried, and when that
            was said last, both in ms.
        ledger: `expected` and `stored` events of the newest minute of each series, and of those with holes.
        unplaced: lines about ids that the store's ledger calls lost and whose place its rows do not show.
    """

    last_ids: dict[str, int] = field(default_factory=dict)
    times_ms: dict[str, int] = field(default_factory=dict)
    missing: dict[str, list[OpenHole]] = field(default_factory=dict)
    uncarried: dict[str, tuple[int, int]] = field(default_factory=dict)
    ledger: list[LedgerMessage] = field(default_factory=list)
    unplaced: list[str] = field(default_factory=list)


def read_start_positions(
    reader: Reader,
    exchange: str,
    symbols: Sequence[str],
    intervals: Sequence[str],
    now_ms: int,
    *,
    bases: Mapping[str, int] | None = None,
) -> StartPositions:
    """Read the start positions of all series.

    Args:
        now_ms: receive time of the ledger events.
        bases: by symbol, the newest trade when the series was listened to for the first time.

    Raises:
        StoreError: the store cannot be read.
    """
    positions = StartPositions()
    for symbol in symbols:
        _read_carriage(reader, positions, exchange, symbol)
        _read_trades(reader, positions, (exchange, symbol), now_ms, (bases or {}).get(symbol))
        for interval in intervals:
            _read_klines(reader, positions, (exchange, symbol, interval), now_ms)
    return positions


def _read_carriage(reader: Reader, positions: StartPositions, exchange: str, symbol: str) -> None:
    for row in reader.read(CARRIAGE.name, {"exchange": exchange, "symbol": symbol}, last=1):
        if not row.get("carried"):
            series = stored_series(exchange, symbol, str(row["stream"]))
            said_ms = int(row["time_ns"] or 0) // _MS
            positions.uncarried[series] = int(row.get("since_ms") or said_ms), said_ms


def bare_symbols(positions: StartPositions, exchange: str, symbols: Sequence[str]) -> frozenset[str]:
    """Symbols of which no trade is stored."""
    return frozenset(symbol for symbol in symbols if f"{exchange}:{symbol}:trades" not in positions.last_ids)


def with_bases(positions: StartPositions, exchange: str, bases: Mapping[str, int]) -> StartPositions:
    """Add series without a stored trade: they begin after the newest trade when a run first listened."""
    begun = {f"{exchange}:{symbol}:trades": base for symbol, base in bases.items()}
    return replace(positions, last_ids={**begun, **positions.last_ids})


class _Counted(NamedTuple):
    """What a ledger row counts.

    Attributes:
        expected: all ids.
        stored: those of them that were stored.
        lost: lost ids.
    """

    expected: int
    stored: int
    lost: int

    @classmethod
    def of(cls, row: Row) -> _Counted:
        return cls(*(int(row.get(name) or 0) for name in cls._fields))

    @property
    def not_stored(self) -> int:
        """Expected ids that were not stored, excused ones among them."""
        return self.expected - self.stored

    @property
    def incomplete(self) -> int:
        """Ids that are lost although they are stored."""
        return max(0, self.lost - self.not_stored)


def _lossy_slots(reader: Reader, tags: Mapping[str, str], newest_ns: int) -> dict[int, _Counted]:
    """Begin of each minute or bar of the last days with lost ids, and its counts.

    The rows show losses that neighbouring ids do not, like a bar that the exchange has.
    """
    rows = reader.read("ledger", tags, from_ns=newest_ns - _REMEMBERED_NS, to_ns=newest_ns + 1)
    counted = {int(row["time_ns"] or 0): _Counted.of(row) for row in rows}
    return {begin_ns: counts for begin_ns, counts in counted.items() if counts.lost > 0}


def _read_trades(
    reader: Reader, positions: StartPositions, series: tuple[str, str], now_ms: int, base: int | None
) -> None:
    exchange, symbol = series
    tags = {"exchange": exchange, "symbol": symbol}
    newest = max((int(row["time_ns"] or 0) for row in reader.read("trade", tags, last=1)), default=None)
    if newest is None:
        return
    ledger_tags = {**tags, "stream": "trades"}
    lossy = _lossy_slots(reader, ledger_tags, newest)
    minutes = {newest - newest % _MINUTE_NS, *lossy}
    trades: dict[int, int] = {}
    holes: dict[int, OpenHole] = {}
    said: set[int] = set()
    for begin, end in _spans([*lossy, newest - _HOLES_NS], newest):
        # The neighbours show what is missing at the edges.
        before = _trades(reader.read("trade", tags, from_ns=newest - _REMEMBERED_NS, to_ns=begin, last=1))
        within = _trades(reader.read("trade", tags, from_ns=begin, to_ns=end))
        after = _trade_after(reader, tags, end, newest) if end <= newest else []
        found = sorted([*before, *within, *after])
        between = list(_holes_between(found))
        opening = found[0][1] // _MINUTE_NS * _MINUTE_NS
        older = reader.read("ledger", ledger_tags, to_ns=min(begin, opening), last=1)
        begins = not before and not list(older)
        if begins and base is not None:
            between = [*_hole_at_the_beginning(base, found[0]), *between]
        trades.update(found)
        holes.update((hole.first, hole) for hole in between)
        minutes.update(_minutes_beside(between))
        # In the newest minute, lost ids may be those that a killed run had on their way, after the newest
        # trade; unless that minute has the first trade too, and the series' base is unknown.
        current = newest - newest % _MINUTE_NS
        told = end if begins and base is None and opening == current else min(end, current)
        if not before:
            told_of = {minute: counts.lost for minute, counts in lossy.items() if begin <= minute < told}
            positions.unplaced.extend(_unplaced(symbol, told_of, between))
            said.update(told_of)
    latest = max(split(item)[0] for item in trades)
    last_id = max(item for item in trades if split(item)[0] == latest)
    series_name = f"{exchange}:{symbol}:trades"
    positions.last_ids[series_name] = last_id
    positions.times_ms[series_name] = trades[last_id] // _MS
    if holes:
        positions.missing[series_name] = [holes[first] for first in sorted(holes)]
    ledger_series = LedgerSeries(exchange, symbol, "trades")
    for minute in sorted(minutes):
        there = _trades(reader.read("trade", tags, from_ns=minute, to_ns=minute + _MINUTE_NS))
        gone = [hole for hole in holes.values() if minute <= hole.after_ms * _MS < minute + _MINUTE_NS]
        if minute in lossy and minute not in said and minute < newest - newest % _MINUTE_NS:
            # As at the end of a numbering, which no neighbour shows.
            beside = [hole for hole in holes.values() if minute in _minutes_beside([hole])]
            shown = len(there) + sum(hole.last - hole.first + 1 for hole in beside)
            not_shown = min(lossy[minute].lost, lossy[minute].expected - shown)
            if not_shown > 0:
                positions.unplaced.extend(_unplaced(symbol, {minute: not_shown}, ()))
                if not gone:
                    continue  # the row stays as it is
        positions.ledger.extend(_events_of_minute(ledger_series, there, gone, now_ms))


def _minutes_beside(holes: Iterable[OpenHole]) -> Iterator[int]:
    """Begins of the minutes around holes: their trades lie in these, or in minutes without any row."""
    for hole in holes:
        for time_ms in (hole.before_ms, hole.after_ms):
            if time_ms is not None:
                yield time_ms * _MS // _MINUTE_NS * _MINUTE_NS


def _unplaced(symbol: str, lossy: Mapping[int, int], holes: Iterable[OpenHole]) -> Iterator[str]:
    """A line, if the rows of these minutes count more lost ids than their holes show."""
    lost = max(lossy.values(), default=0)
    if sum(hole.last - hole.first + 1 for hole in holes) < lost:
        minute = f"{datetime.fromtimestamp(min(lossy) // 10**9, UTC):%Y-%m-%d %H:%M}Z"
        yield (
            f"{symbol} trades: {lost:,} missing in the minute of {minute}, by an earlier run's ledger;"
            " which ones, the store no longer tells"
        )


def _events_of_minute(
    series: LedgerSeries, there: Sequence[_Trade], gone: Sequence[OpenHole], now_ms: int
) -> Iterator[LedgerMessage]:
    """The ledger's events of a minute again; a hole belongs to the minute of the trade after it."""
    newest_ms = max((time_ns for _, time_ns in there), default=0) // _MS
    for epoch in sorted({split(item)[0] for item, _ in there}):
        items = [item for item, _ in there if split(item)[0] == epoch]
        first = min([*items, *(hole.first for hole in gone if split(hole.first)[0] == epoch)])
        yield from ledger_events(series, items, newest_ms, now_ms, first=first)


def _spans(begins: Iterable[int], newest: int) -> list[tuple[int, int]]:
    """The minutes from these times on, the last up to the newest trade; adjacent ones are merged."""
    spans: list[tuple[int, int]] = []
    for begin in sorted(begins):
        end = newest + 1 if begin >= newest - _HOLES_NS else begin + _MINUTE_NS
        if spans and begin <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((begin, end))
    return spans


def _trades(rows: Iterable[Row]) -> list[_Trade]:
    return [(int(row["trade_id"] or 0), int(row["time_ns"] or 0)) for row in rows]


def _trade_after(reader: Reader, tags: Mapping[str, str], time_ns: int, newest: int) -> list[_Trade]:
    for width_ns in _WIDTHS_NS:
        end = min(time_ns + width_ns, newest + 1)
        found = _trades(reader.read("trade", tags, from_ns=time_ns, to_ns=end))
        if found:
            return [min(found)]
    return []


def _holes_between(ordered: Sequence[_Trade]) -> Iterator[OpenHole]:
    """Holes between trades; none where ids begin anew."""
    for (before, before_ns), (after, after_ns) in pairwise(ordered):
        if after > before + 1 and split(before)[0] == split(after)[0]:
            yield OpenHole(before + 1, after - 1, before_ns // _MS, after_ns // _MS)


def _hole_at_the_beginning(base: int, first: _Trade) -> Iterator[OpenHole]:
    """The hole between the base of the series and its first stored trade."""
    if base + 1 < first[0] and split(base)[0] == split(first[0])[0]:
        yield OpenHole(base + 1, first[0] - 1, after_ms=first[1] // _MS)


def _read_klines(
    reader: Reader, positions: StartPositions, series: tuple[str, str, str], now_ms: int
) -> None:
    exchange, symbol, interval = series
    tags = {"exchange": exchange, "symbol": symbol, "interval": interval}
    newest = max((int(row["time_ns"] or 0) for row in reader.read("kline", tags, last=1)), default=None)
    if newest is None:
        return
    name, step = f"{exchange}:{symbol}:klines:{interval}", INTERVAL_MS[interval]
    positions.last_ids[name] = newest // _MS
    slot_ns = max(step * _MS, _MINUTE_NS)
    lossy = _lossy_slots(reader, {**tags, "stream": "klines"}, newest)
    for slot in sorted({newest - newest % _MINUTE_NS, *lossy}):
        rows = reader.read("kline", tags, from_ns=slot, to_ns=min(slot + slot_ns, newest + 1))
        opened = [int(row["time_ns"] or 0) // _MS for row in rows]
        last = min((slot + slot_ns) // _MS - step, newest // _MS)
        first_there = min(opened, default=last + step)
        first = first_there - step * _bars_before(reader, tags, slot, (first_there, last), lossy.get(slot))
        gone = [time_ms for time_ms in range(first, last + 1, step) if time_ms not in opened]
        for time_ms in gone:
            hole = OpenHole(time_ms, time_ms, after_ms=time_ms + step)
            positions.missing.setdefault(name, []).append(hole)
        incomplete = lossy[slot].incomplete if slot in lossy else 0
        all_incomplete = 0 < len(opened) <= incomplete
        # In a minute that went on after its row was written, some were perhaps not expected yet.
        if incomplete and not all_incomplete and slot + slot_ns <= newest:
            positions.unplaced.append(_unplaced_bars(f"{symbol} klines {interval}", incomplete, slot))
        items = sorted({*opened, *gone})
        if not items:
            continue
        ledger_series = LedgerSeries(exchange, symbol, "klines", interval)
        span = {"first": items[0], "last": items[-1]}
        event_ms = max([slot // _MS, *opened])
        positions.ledger.extend(
            ledger_events(
                ledger_series, opened, event_ms, now_ms, **span, incomplete=opened if all_incomplete else ()
            )
        )


def _bars_before(
    reader: Reader, tags: Mapping[str, str], slot: int, found: tuple[int, int], counts: _Counted | None
) -> int:
    """How many bars before a slot's first stored one were issued and are missing.

    Args:
        slot: its begin, in ns.
        found: open time of its first stored bar and of the last one that is looked at, in ms.
        counts: of its ledger row, if that has lost ids.
    """
    first_there, last = found
    step = INTERVAL_MS[tags["interval"]]
    room = (first_there - slot // _MS) // step
    if room <= 0:
        return 0
    if counts is not None:
        if any(True for _ in reader.read("kline", tags, to_ns=slot, last=1)):
            return min(room, counts.not_stored)
        # The series may have begun in this slot: only those that are missing nowhere else.
        rows = reader.read("kline", tags, from_ns=first_there * _MS, to_ns=last * _MS + 1)
        between = (last - first_there) // step + 1 - sum(1 for _ in rows)
        return min(room, max(0, counts.not_stored - between))
    # A row without lost ids excuses them all; a killed run has perhaps not written any yet.
    if any(True for _ in reader.read("ledger", {**tags, "stream": "klines"}, from_ns=slot, to_ns=slot + 1)):
        return 0
    continues = any(True for _ in reader.read("kline", tags, from_ns=slot - _MINUTE_NS, to_ns=slot))
    return room if continues else 0


def _unplaced_bars(series: str, incomplete: int, slot: int) -> str:
    minute = f"{datetime.fromtimestamp(slot // 10**9, UTC):%Y-%m-%d %H:%M}Z"
    return (
        f"{series}: {incomplete:,} incomplete in the minute of {minute}, by an earlier run's ledger;"
        " which ones, the store no longer tells"
    )


def ledger_events(
    series: LedgerSeries,
    ids: Sequence[int],
    event_time_ms: int,
    now_ms: int,
    *,
    first: int | None = None,
    last: int | None = None,
    incomplete: Sequence[int] = (),
) -> list[LedgerMessage]:
    """`expected` from the first to the last id, and `stored` for each run of stored ids.

    Args:
        ids: stored trade ids, or open times.
        first, last: expected ids, if more than from the first to the last stored one.
        incomplete: those of the stored ids that are lost in part.
    """
    runs: list[list[int]] = []
    for item in sorted(set(ids)):
        if runs and item == runs[-1][1] + series.unit:
            runs[-1][1] = item
        else:
            runs.append([item, item])
    first = runs[0][0] if first is None and runs else first
    last = runs[-1][1] if last is None and runs else last
    if first is None or last is None:
        return []
    spans: list[tuple[LedgerKind, int, int]] = [
        ("expected", first, last),
        *(("stored", begin, end) for begin, end in runs),
        *(("incomplete", item, item) for item in incomplete),
    ]
    return [
        ledger_record(
            series,
            kind,
            begin,
            end,
            event_time_ms=event_time_ms,
            received_time_ms=now_ms,
            source="stream",
            detail="of an earlier run",
        )
        for kind, begin, end in spans
    ]


def write_start_positions(path: Path, positions: StartPositions) -> Path:
    """Write the file that producers read (`--bearings`); returns its path."""
    entries: dict[str, object] = {series: list(span) for series, span in positions.uncarried.items()}
    for series, last_id in positions.last_ids.items():
        time_ms, holes = positions.times_ms.get(series), positions.missing.get(series)
        entries[series] = last_id if time_ms is None else [last_id, time_ms]
        if holes:
            each = [[hole.first, hole.last, hole.before_ms, hole.after_ms] for hole in holes]
            entries[series] = [last_id, time_ms, each]
    path.write_bytes(orjson.dumps(entries))
    return path


def has_ledger(address: str) -> bool:
    """Whether a Kafka has ever had a ledger event, or has a snapshot of the ledger.

    Raises:
        BrokerError, BrokerUnavailable: it does not answer.
    """
    with closing(TopicReader(address)) as reader:
        ends = [high for topic in (LEDGER, LEDGER_SNAPSHOT) for _, high in reader.bounds(topic).values()]
    return any(ends)


def publish_ledger(address: str, events: Sequence[LedgerMessage], *, memory: bool) -> None:
    """Publish the ledger events on a broker without any, before the services start.

    Raises:
        BrokerUnavailable: it does not acknowledge them within 10 s.
    """
    producer = KAFKA.producer(producer_config(address, "cryptostream-run", memory_broker=memory))
    for event in events:
        producer.produce(LEDGER, encode(event), message_key(event["exchange"], event["symbol"]))
    if producer.flush(_FLUSH_S):
        raise BrokerUnavailable(f"{address}: the broker takes no messages; start again")
