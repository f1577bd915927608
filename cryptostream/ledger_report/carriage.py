"""Which streams are not carried by the `carriage` measurement, used without a broker.

It has a row where an `uncarried` event was reported: once a minute while a stream is not carried, and once
when it is again. A stream that was always carried has none, like on the topic.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from consumers.measurements import CARRIAGE, LEDGER
from consumers.stores.port import Reader, Row
from cryptostream.ledger_report.report import MINUTE_MS, Note, SeriesReport, Span, Unknown, uncarried_to_ms
from shared.intervals import INTERVAL_MS
from shared.ledger import LedgerSeries

_NS_PER_MS: Final = 10**6
_EXPIRED: Final = (
    "whether they were carried at their end is not known, since the store keeps that for 7 days; ask the"
    " broker (KAFKA_BOOTSTRAP_SERVERS), or for what came later (--from)"
)


@dataclass(frozen=True, slots=True)
class Carriage:
    """What a store knows of the carriage of streams.

    Attributes:
        uncarried: streams whose newest row says that they are not carried.
        unknown: series that ended so long ago that their rows may have expired.
        reported: the store has a row of any stream, so its writer reports carriage; without one the store may
            be older than that.
    """

    uncarried: list[Note]
    unknown: list[Unknown]
    reported: bool


def carriage_in_store(
    reader: Reader, span: Span, *, as_of_ms: int | None = None, kept_from_ms: int | None
) -> Carriage:
    """Read carriage; as with a broker, what was not carried at its end stays so, however long ago that was. A
    time span selects what overlaps it.

    Args:
        as_of_ms: the newest time of the exchange in the store; None if there is none.
        kept_from_ms: older rows of the bucket `ticks` may have expired; None if it keeps everything.
    """
    rows = {_series_of(row): row for row in reader.read(CARRIAGE.name, {}, last=1)}
    return Carriage(
        uncarried=[
            Note(series, "uncarried", _since_ms(row), _time_ms(row), _since_ms(row), None)
            for series, row in sorted(rows.items(), key=lambda item: SeriesReport.order(item[0]))
            if span.holds(series)
            and not row.get("carried")
            and span.overlaps(_since_ms(row), uncarried_to_ms(_time_ms(row), as_of_ms))
        ],
        unknown=[] if kept_from_ms is None else _expired(reader, span, kept_from_ms, rows.keys()),
        reported=bool(rows),
    )


def _expired(
    reader: Reader, span: Span, kept_from_ms: int, reported: Collection[LedgerSeries]
) -> list[Unknown]:
    """Series that ended before the oldest row that is kept, and of which no row is left."""
    ends = _ends(reader)
    found: dict[tuple[str, str], list[LedgerSeries]] = {}
    for series in sorted(filter(span.holds, ends), key=SeriesReport.order):
        if ends[series] < kept_from_ms and series not in reported and _is_in(reader, span, series):
            found.setdefault((series.exchange, series.symbol), []).append(series)
    return [Unknown(tuple(series), None, None, _EXPIRED) for series in found.values()]


def _ends(reader: Reader) -> dict[LedgerSeries, int]:
    """Up to when each series was followed, at least; ms."""
    ends: dict[LedgerSeries, int] = {}
    of_instruments: dict[tuple[str, str], int] = {}
    for row in reader.read(LEDGER.name, {}, last=1):
        series = LedgerSeries.named(*(str(row[name] or "") for name in LEDGER.tags))
        # The bar after the newest has no row before it closes.
        ends[series] = _time_ms(row) + 2 * max(INTERVAL_MS.get(series.interval, 0), MINUTE_MS)
        instrument = series.exchange, series.symbol
        of_instruments[instrument] = max(of_instruments.get(instrument, 0), ends[series])
    # Minutes without a trade have no row: bars of the instrument show that it was followed.
    return {
        series: end_ms if series.interval else of_instruments[series.exchange, series.symbol]
        for series, end_ms in ends.items()
    }


def _is_in(reader: Reader, span: Span, series: LedgerSeries) -> bool:
    """Whether the span has a row of a series."""
    tags = dict(zip(LEDGER.tags, series, strict=True))
    return any(True for _ in reader.read(LEDGER.name, tags, from_ns=span.from_ns, to_ns=span.to_ns, last=1))


def _series_of(row: Row) -> LedgerSeries:
    return LedgerSeries.of_stream(*(str(row[name]) for name in CARRIAGE.tags))


def _since_ms(row: Row) -> int:
    return int(row.get("since_ms") or 0)


def _time_ms(row: Row) -> int:
    return int(row["time_ns"] or 0) // _NS_PER_MS
