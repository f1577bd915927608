"""Claims from the `ledger` measurement, used without a broker: counts by minute.

A row tells how many ids of its minute were expected and stored, not which; it has no `offline`
(DESIGN §4.3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from consumers.measurements import INDICATOR, KLINE, LEDGER, SERVICE, TRADE
from consumers.stores.port import Reader, Row
from cryptostream.ledger_report.recount import Advance, rows_of
from cryptostream.ledger_report.report import (
    MINUTE_MS,
    Range,
    Recount,
    SeriesReport,
    Shortfall,
    Span,
    Unknown,
)
from shared.ledger import LedgerSeries

# The ledger's consumer writes a row after 5 s without an event of its minute, at the latest after a minute.
_ROW_DELAY_MS: Final = 2 * MINUTE_MS
_SUMMED: Final = ("expected", "stored", "backfilled", "halted", "duplicates")
_RANGES_KEPT: Final = 1_000
_RANGES_NAMED: Final = 20
_NS_PER_MS: Final = 10**6


@dataclass(slots=True)
class _Sums:
    expected: int = 0
    stored: int = 0
    backfilled: int = 0
    halted: int = 0
    lost: int = 0
    duplicates: int = 0
    on_their_way: int = 0
    lost_minutes: deque[Range] = field(default_factory=lambda: deque(maxlen=_RANGES_KEPT))


def newest_minute_ms(reader: Reader) -> int | None:
    """The newest minute of any series, the exchange's latest time in the store; None without rows."""
    return max((_minute_ms(row) for row in reader.read(LEDGER.name, {}, last=1)), default=None)


def is_live(reader: Reader, now_ms: int) -> bool:
    """Whether a service reported within the last three minutes; each does every second."""
    newest_ms = max((_minute_ms(row) for row in reader.read(SERVICE.name, {}, last=1)), default=None)
    return newest_ms is not None and newest_ms > now_ms - _ROW_DELAY_MS - MINUTE_MS


def unclaimed_ends(reader: Reader, stored: Iterable[LedgerSeries], span: Span) -> list[Unknown]:
    """Series whose newest point is later than their last row.

    A cheap hint: the recount finds every unclaimed point.
    """
    found = []
    for series in stored:
        name = TRADE.name if series.stream == "trades" else KLINE.name
        newest = rows_of(reader, name, series, span, last=1)
        point_ms = max(map(_minute_ms, newest), default=None)
        tags = dict(zip(LEDGER.tags, series, strict=True))
        claimed_ms = max(
            map(_minute_ms, reader.read(LEDGER.name, tags, from_ns=span.from_ns, to_ns=span.to_ns, last=1)),
            default=None,
        )
        if point_ms is not None and (claimed_ms is None or point_ms > claimed_ms):
            why = "stored, and in no claim: no service has said what was issued since; --verify counts it"
            found.append(Unknown((series,), claimed_ms, None, why))
    return found


@dataclass(frozen=True, slots=True)
class Minutes:
    """The series of a store by their rows.

    Attributes:
        reports: also of series that have rows before the queried time alone.
        ended: of these, until when there are rows, ms.
        looked_at: whether anything of what is asked for was followed in the queried time.
    """

    reports: list[SeriesReport]
    ended: dict[LedgerSeries, int]
    looked_at: bool


def minutes_of(reader: Reader, span: Span, now_ms: int, *, live: bool) -> Minutes:
    """Completeness of each series by the rows of the store.

    Args:
        live: services are running, so that ids lost in the last two minutes may still be on their way.
    """
    on_their_way_from_ms = now_ms - _ROW_DELAY_MS + 1 if live else None
    tags = {
        "exchange": span.exchange,
        "symbol": span.symbol,
        "stream": span.stream,
        "interval": span.interval,
    }
    wanted = {name: value for name, value in tags.items() if value is not None}
    sums: dict[LedgerSeries, _Sums] = {}
    for row in reader.read(LEDGER.name, wanted, from_ns=span.from_ns, to_ns=span.to_ns):
        _add(sums.setdefault(_series_of(row), _Sums()), row, on_their_way_from_ms)
    ended: dict[LedgerSeries, int] = {}
    if span.from_ns is not None:
        before = reader.read(LEDGER.name, wanted, to_ns=span.from_ns, last=1)
        ended = {series: end_ms for series, end_ms in map(_end_of, before) if series not in sums}
    looked_at = bool(sums) or _are_followed(reader, span, ended)
    sums.update((series, _Sums()) for series in ended)
    reports = [
        SeriesReport(
            series,
            offline=None,
            lost_ranges=tuple(of.lost_minutes),
            by_minutes=True,
            lost=of.lost,
            on_their_way=of.on_their_way,
            **{name: getattr(of, name) for name in _SUMMED},
        )
        for series, of in sorted(sums.items(), key=lambda item: SeriesReport.order(item[0]))
    ]
    return Minutes(reports, ended, looked_at)


def _are_followed(reader: Reader, span: Span, series: Iterable[LedgerSeries]) -> bool:
    """Whether bars of the span show that trades of some of these were followed: a minute without a trade has
    no row."""
    instruments = {(each.exchange, each.symbol) for each in series if each.stream == "trades"}
    bars = reader.read(LEDGER.name, {"stream": "klines"}, from_ns=span.from_ns, to_ns=span.to_ns, last=1)
    return any((row["exchange"], row["symbol"]) in instruments for row in bars)


def _end_of(row: Row) -> tuple[LedgerSeries, int]:
    series = _series_of(row)
    return series, _minute_ms(row) + max(series.unit, MINUTE_MS)


def _series_of(row: Row) -> LedgerSeries:
    return LedgerSeries.named(*(str(row[name] or "") for name in LEDGER.tags))


def _add(sums: _Sums, row: Row, on_their_way_from_ms: int | None) -> None:
    for name in _SUMMED:
        setattr(sums, name, getattr(sums, name) + int(row.get(name) or 0))
    lost, minute_ms = int(row.get("lost") or 0), _minute_ms(row)
    if not lost:
        return
    if on_their_way_from_ms is not None and minute_ms >= on_their_way_from_ms:
        sums.on_their_way += lost
        return
    sums.lost += lost
    _extend(sums.lost_minutes, minute_ms)


def _extend(ranges: MutableSequence[Range], minute_ms: int, most: int | None = None) -> None:
    """Add a minute to ranges of minutes, of which there are `most` at the most."""
    if ranges and ranges[-1][1] + MINUTE_MS == minute_ms:
        ranges[-1] = (ranges[-1][0], minute_ms)
    elif most is None or len(ranges) < most:
        ranges.append((minute_ms, minute_ms))


@dataclass(slots=True)
class _Differences:
    count: int = 0
    ranges: list[Range] = field(default_factory=list)

    def add(self, minute_ms: int, count: int) -> None:
        self.count += count
        _extend(self.ranges, minute_ms, _RANGES_NAMED)

    def done(self) -> Shortfall:
        return Shortfall(self.count, tuple(self.ranges))


def recount_minutes(
    reader: Reader,
    series: LedgerSeries,
    span: Span,
    *,
    oldest_kept_ms: int | None,
    leading_bare: bool,
    live: bool,
    advance: Advance,
) -> Recount:
    """Count each minute's points and compare them with its row; reads streams.

    Args:
        live: services are running, so that claims of the newest minutes may still come.
        oldest_kept_ms: older points of the bucket `ticks` may have expired; None if it keeps everything.
        leading_bare: the first bars may have no indicators, which need some bars of warm-up.
    """
    bars = series.stream == "klines"
    expires = not bars or KLINE.bucket((series.exchange, series.symbol, series.interval)) == "ticks"
    kept_from_ms = oldest_kept_ms + MINUTE_MS if expires and oldest_kept_ms is not None else 0
    tags = dict(zip(LEDGER.tags, series, strict=True))
    claims = _by_minute(
        reader.read(LEDGER.name, tags, from_ns=span.from_ns, to_ns=span.to_ns),
        lambda rows: sum(int(row.get("stored") or 0) for row in rows),
    )

    def counted(measurement: str) -> Iterator[tuple[int, int]]:
        def count(rows: Iterator[Row]) -> int:
            total = sum(1 for _ in rows)
            advance(total)
            return total

        return _by_minute(rows_of(reader, measurement, series, span), count)

    points = counted(KLINE.name if bars else TRADE.name)
    indicators = counted(INDICATOR.name) if bars else iter(())
    missing, bare, unclaimed = _Differences(), _Differences(), _Differences()
    checked = expired = 0
    begun = not leading_bare
    surplus: deque[tuple[int, int]] = deque()  # points without a claim, in recent minutes
    claimed_ms = 0
    for minute_ms, (claimed, found, computed) in _joined(claims, points, indicators):
        checked += claimed
        claimed_ms = minute_ms if claimed else claimed_ms
        short = max(claimed - found, 0)
        if minute_ms < kept_from_ms:
            expired += short
            continue
        if short:
            missing.add(minute_ms, short)
        begun = begun or bool(computed)
        if bars and begun and min(found, claimed) > computed:
            bare.add(minute_ms, min(found, claimed) - computed)
        if found > claimed:
            surplus.append((minute_ms, found - claimed))
        while surplus and surplus[0][0] < max(minute_ms - _ROW_DELAY_MS, claimed_ms - MINUTE_MS):
            unclaimed.add(*surplus.popleft())
    while surplus and not live:
        unclaimed.add(*surplus.popleft())
    return Recount(
        series,
        checked,
        missing=missing.done(),
        without_indicators=bare.done(),
        unclaimed=unclaimed.done(),
        on_their_way=sum(count for _, count in surplus),
        expired=expired,
        by_minutes=True,
    )


def _by_minute(rows: Iterator[Row], value: Callable[[Iterator[Row]], int]) -> Iterator[tuple[int, int]]:
    for minute_ms, of_minute in groupby(rows, key=_minute_ms):
        yield minute_ms, value(of_minute)


def _joined(*streams: Iterator[tuple[int, int]]) -> Iterator[tuple[int, list[int]]]:
    """Join ascending streams by minute; the value is 0 where a stream has none."""
    heads = [next(stream, None) for stream in streams]
    while any(head is not None for head in heads):
        minute_ms = min(head[0] for head in heads if head is not None)
        values = [0] * len(streams)
        for position, head in enumerate(heads):
            if head is not None and head[0] == minute_ms:
                values[position] = head[1]
                heads[position] = next(streams[position], None)
        yield minute_ms, values


def _minute_ms(row: Row) -> int:
    time_ms = int(row["time_ns"] or 0) // _NS_PER_MS
    return time_ms - time_ms % MINUTE_MS
