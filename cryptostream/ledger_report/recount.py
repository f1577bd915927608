"""Counts the store again and holds it against the ledger's claims. Pure but for the `Reader` it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from consumers.ledger_events import LedgerSeries
from consumers.measurements import INDICATOR, KLINE, TRADE
from consumers.stores.port import Reader, Row
from cryptostream.ledger_report.report import Range, Recount, Shortfall
from cryptostream.ledger_report.span import Span
from shared.id_ranges import IdRanges

# As many holes as claims may have: beyond it the store is no copy of this ledger, and memory stays bounded.
MAX_HOLES: Final = 100_000
_RANGES_NAMED: Final = 20
_NS_PER_MS: Final = 10**6

Advance = Callable[[int], None]


@dataclass(slots=True)
class Found:
    """What the store has of a series.

    Attributes:
        ids: of `trade` or `kline` points.
        with_indicators: of `indicator` points.
        repeated: points with an id that an earlier point had.
        read_up_to: reading stopped behind this id, for the holes had become too many.
    """

    ids: IdRanges = field(default_factory=IdRanges)
    with_indicators: IdRanges = field(default_factory=IdRanges)
    repeated: int = 0
    read_up_to: int | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the ledger claimed of a series before the store was read.

    Attributes:
        stored: ids within the time asked for.
        without_indicators: bars for which none are computed.
        expired: up to this id the store may have let points go.
    """

    stored: IdRanges
    without_indicators: IdRanges
    expired: int


NOTHING_CLAIMED: Final = Claimed(IdRanges(), IdRanges(), -(2**63))


def count_points(
    reader: Reader, series: LedgerSeries, span: Span, advance: Advance, *, with_indicators: bool = True
) -> Found:
    """Read a series' points once, as a stream."""
    found = Found()
    if series.stream == "trades":
        rows = rows_of(reader, TRADE.name, series, span)
        _collect(found.ids, (int(row["trade_id"] or 0) for row in rows), found, advance)
        return found
    measurements = [(found.ids, KLINE.name)]
    if with_indicators:
        measurements.append((found.with_indicators, INDICATOR.name))
    for ids, name in measurements:
        bars = rows_of(reader, name, series, span)
        _collect(ids, (_bar_id(row, series) for row in bars), found, advance)
    return found


def compare(
    series: LedgerSeries, claimed: Claimed, found: Found, known: IdRanges, *, leading_bare: bool
) -> Recount:
    """Hold what was found against what had been claimed.

    Args:
        known: everything claimed by now, whatever its time: only what is in none of it is unclaimed.
        leading_bare: the first bars may have no indicators, since those chosen need some bars to begin.
    """
    stored = claimed.stored
    if found.read_up_to is not None:
        stored = IdRanges(stored.within(-(2**63), found.read_up_to))
    missing = stored.difference(found.ids)
    expired = IdRanges(missing.within(-(2**63), claimed.expired))
    bare = IdRanges()
    if series.stream == "klines":
        bare = stored.difference(missing).difference(found.with_indicators)
        bare = bare.difference(claimed.without_indicators)
        bare.remove(-(2**63), claimed.expired)
        if leading_bare and found.with_indicators:
            first_id = next(iter(found.with_indicators))[0]
            bare.remove(-(2**63), first_id - 1)
    return Recount(
        series,
        checked=stored.id_count(),
        missing=shortfall(missing.difference(expired), series.unit),
        without_indicators=shortfall(bare, series.unit),
        stored_twice=found.repeated,
        unclaimed=shortfall(found.ids.difference(known), series.unit),
        expired=expired.id_count(),
        cut_short=found.read_up_to is not None,
    )


def shortfall(ids: IdRanges, unit: int) -> Shortfall:
    """How many ids, and the first ranges of them, in the ledger's units."""
    ranges: list[Range] = [(first * unit, last * unit) for first, last in list(ids)[:_RANGES_NAMED]]
    return Shortfall(ids.id_count(), tuple(ranges))


def rows_of(reader: Reader, measurement: str, series: LedgerSeries, span: Span) -> Iterator[Row]:
    """The points of one series in the time asked for."""
    tags = {"exchange": series.exchange, "symbol": series.symbol}
    if series.interval:
        tags["interval"] = series.interval
    return reader.read(measurement, tags, from_ns=span.from_ns, to_ns=span.to_ns)


def _bar_id(row: Row, series: LedgerSeries) -> int:
    return int(row["time_ns"] or 0) // _NS_PER_MS // series.unit


def _collect(ids: IdRanges, stream: Iterator[int], found: Found, advance: Advance) -> None:
    """Add ids, run by run: they come nearly in order."""
    first = last = next(stream, None)
    if first is None or last is None:
        return
    for number in stream:
        if number == last + 1:
            last = number
            continue
        _add(ids, first, last, found, advance)
        if ids.range_count() > MAX_HOLES:
            found.read_up_to = last if found.read_up_to is None else min(last, found.read_up_to)
            return
        first = last = number
    _add(ids, first, last, found, advance)


def _add(ids: IdRanges, first: int, last: int, found: Found, advance: Advance) -> None:
    found.repeated += ids.intersection_count(first, last)
    ids.add(first, last)
    advance(last - first + 1)
