"""Counts the store again and compares it with the ledger's claims. Pure but for its `Reader`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from consumers.measurements import INDICATOR, KLINE, TRADE
from consumers.stores.port import Reader, Row
from cryptostream.ledger_report.report import Range, Recount, Shortfall, Span
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries

# As many holes as claims may have: beyond that the store is not of this ledger, and memory stays bounded.
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
        read_up_to: reading stopped after this id, at too many holes; None if it did not.
    """

    ids: IdRanges = field(default_factory=IdRanges)
    with_indicators: IdRanges = field(default_factory=IdRanges)
    repeated: int = 0
    read_up_to: int | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the ledger claimed of a series before the store was read.

    Attributes:
        stored: ids within the queried time.
        without_indicators: bars for which none are computed.
        expired: points up to this id may have expired.
        only_counted: ids of which the ledger knows only how many are stored.
        counted: so many of them are stored, so many more may be; None if it is not known for the queried
            time.
        late_from: below this id `without_indicators` lacks some.
    """

    stored: IdRanges
    without_indicators: IdRanges
    expired: int
    only_counted: IdRanges = field(default_factory=IdRanges)
    counted: tuple[int, int] | None = (0, 0)
    late_from: int | None = None


NOTHING_CLAIMED: Final = Claimed(IdRanges(), IdRanges(), -(2**63))


def count_points(
    reader: Reader,
    series: LedgerSeries,
    span: Span,
    advance: Advance = lambda _count: None,
    *,
    with_indicators: bool = True,
    last: int | None = None,
) -> Found:
    """Read a series' points once, as a stream.

    Args:
        last: only so many, the newest.
    """
    found = Found()
    trades = series.stream == "trades"
    measurements = [(found.ids, TRADE.name if trades else KLINE.name)]
    if with_indicators and not trades:
        measurements.append((found.with_indicators, INDICATOR.name))
    for ids, name in measurements:
        rows = rows_of(reader, name, series, span, last=last)
        _collect(ids, (_id(row, series) for row in rows), found, advance)
    return found


def compare(
    series: LedgerSeries, claimed: Claimed, found: Found, known: IdRanges, *, leading_bare: bool
) -> Recount:
    """Compare the points found with those claimed.

    Args:
        known: all claims by now, of any time: points outside of them are unclaimed.
        leading_bare: the first bars may have no indicators, which need some bars of warm-up.
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
    unclaimed = found.ids.difference(known).difference(claimed.stored)
    by_claims = unclaimed.difference(claimed.only_counted)
    by_number = _by_number(claimed, found, unclaimed.id_count() - by_claims.id_count())
    old = IdRanges(bare.within(-(2**63), claimed.late_from - 1) if claimed.late_from is not None else ())
    return Recount(
        series,
        checked=stored.id_count() + (claimed.counted or (0,))[0],
        missing=shortfall(missing.difference(expired), series.unit),
        without_indicators=shortfall(bare.difference(old), series.unit),
        stored_twice=found.repeated,
        unclaimed=shortfall(by_claims, series.unit),
        expired=expired.id_count() + by_number.expired,
        cut_short=found.read_up_to is not None,
        by_number=by_number.points,
        fewer=by_number.fewer,
        more=by_number.more,
        uncompared=by_number.uncompared,
        perhaps_late=old.id_count(),
    )


class _ByNumber(NamedTuple):
    """See `Recount`."""

    points: int
    fewer: int = 0
    more: int = 0
    uncompared: bool = False
    expired: int = 0


def _by_number(claimed: Claimed, found: Found, points: int) -> _ByNumber:
    """Compare the points of ids that are only counted with their number."""
    ids = claimed.only_counted
    if claimed.counted is None:
        return _ByNumber(points, uncompared=bool(ids))
    stored, perhaps = claimed.counted
    fewer, more = max(stored - points, 0), max(points - stored - perhaps, 0)
    if not fewer or found.read_up_to is not None:
        return _ByNumber(points, more=more)
    first = next(iter(ids))[0] if ids else claimed.expired + 1
    if first > claimed.expired:
        return _ByNumber(points, fewer=fewer)
    # They may have expired, if all of these ids may have.
    return _ByNumber(points, uncompared=(ids.last or 0) > claimed.expired, expired=fewer)


def shortfall(ids: IdRanges, unit: int) -> Shortfall:
    """The number of ids, and their first ranges, in the ledger's units."""
    ranges: list[Range] = [(first * unit, last * unit) for first, last in list(ids)[:_RANGES_NAMED]]
    return Shortfall(ids.id_count(), tuple(ranges))


def rows_of(
    reader: Reader, measurement: str, series: LedgerSeries, span: Span, *, last: int | None = None
) -> Iterator[Row]:
    """The points of one series in a span, all or the newest `last`."""
    tags = {"exchange": series.exchange, "symbol": series.symbol}
    if series.interval:
        tags["interval"] = series.interval
    return reader.read(measurement, tags, from_ns=span.from_ns, to_ns=span.to_ns, last=last)


def _id(row: Row, series: LedgerSeries) -> int:
    if series.stream == "trades":
        return int(row["trade_id"] or 0)
    return int(row["time_ns"] or 0) // _NS_PER_MS // series.unit


def _collect(ids: IdRanges, stream: Iterator[int], found: Found, advance: Advance) -> None:
    """Add ids in runs, since they come nearly in order."""
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
