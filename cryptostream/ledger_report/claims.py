"""What the events of `pipeline.ledger` claim, for some series and some time. Pure.

The sets are those of `consumers.ledger_book`; here they are cut to the time asked for and to what was
expected when the end of the topic was reached: what is issued while we read is no loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from consumers.completeness import COUNTED_STREAMS, refusal
from consumers.ledger_book import LedgerBook
from consumers.ledger_events import LedgerSeries
from consumers.ledger_snapshot import Restart
from consumers.measurements import KLINE
from consumers.stores.expiry import oldest_kept_ms
from cryptostream.ledger_report.report import Note, SeriesReport, Unknown
from cryptostream.ledger_report.span import Span
from shared.id_ranges import IdRanges
from shared.messages import LedgerMessage

# 100,000 holes a set and series: some 7 MB each, read once by one process.
_MAX_RANGES: Final = 100_000
# `stored` follows `expected` within seconds: what is older and not stored is not on its way.
_YOUNG_MS: Final = 2 * 60_000
_EVER: Final = (-(2**63), 2**63 - 1)

Ranges = list[tuple[int, int]]


class Claims:
    """Feed it with events, `end` it where the topic ends; then go on feeding while something is `undecided`.

    Args:
        expiry_ns: how long the bucket `ticks` keeps points, by the exchange's time; None for ever.
        watched_ids: trade ids of which the time is asked for, by `time_span`.
    """

    def __init__(
        self, span: Span, expiry_ns: int | None, *, watched_ids: tuple[int, int] | None = None
    ) -> None:
        self._span = span
        self._expiry_ns = expiry_ns
        self._watched_ids = watched_ids
        self._book = LedgerBook(_MAX_RANGES)
        self._ledger = self._book.ledger
        self._ends: dict[LedgerSeries, int] = {}
        self._next = 0
        self._said: dict[LedgerSeries, IdRanges] = {}  # by the events read here, not by snapshots

    def take(self, partition: int, restart: Restart) -> None:
        """Begin a partition with what snapshots say of it."""
        self._book.take(partition, restart)

    def receive(self, message: LedgerMessage, partition: int = 0, offset: int | None = None) -> None:
        """Enter an event; those that make no sense are left to the ledger's consumer.

        Args:
            offset: None where all events are received, from the first on.
        """
        self._next = self._next + 1 if offset is None else offset + 1
        self._book.receive(partition, self._next - 1, message)
        if message["kind"] == "expected" and message["stream"] in COUNTED_STREAMS and not refusal(message):
            series = LedgerSeries(
                message["exchange"], message["symbol"], message["stream"], message["interval"] or ""
            )
            said = self._said.setdefault(series, IdRanges())
            said.add(message["first"] // series.unit, message["last"] // series.unit)

    def end(self) -> None:
        """The topic's end is reached: what is expected from now on is not asked for."""
        self._book.expect_by_clock()
        for series in self.series:
            newest = self._ledger.ranges(series)["expected"].last
            self._ends[series] = _EVER[0] if newest is None else newest

    @property
    def undecided(self) -> bool:
        """Ids count as lost that may still be on their way to the store."""
        return any(_meet(self._lost(series), self._young(series)) for series in self._ends)

    @property
    def series(self) -> list[LedgerSeries]:
        """The counted series."""
        return [series for series in self._ledger.series() if self._span.holds(series)]

    @property
    def as_of_ms(self) -> int | None:
        """The exchange's time up to which all this is judged; None if no event tells."""
        return self._book.time.now_ms

    def stored(self, series: LedgerSeries) -> IdRanges:
        """Ids of which the store is said to have acknowledged the points; all of them, also the newest."""
        windows = self._windows(series, _EVER[1])
        return IdRanges(_cut(self._ledger.ranges(series)["stored"], windows))

    def ever_stored(self, series: LedgerSeries) -> IdRanges:
        """The same for all time, not to be changed."""
        return self._ledger.ranges(series)["stored"] if series in self._ledger else IdRanges()

    def halted(self, series: LedgerSeries) -> IdRanges:
        """Bars that never were, for the exchange was closed; not to be changed."""
        return self._ledger.ranges(series)["halted"]

    def last_expected(self, series: LedgerSeries) -> int:
        """The highest id known to have been issued when the topic ended."""
        return self._ends[series]

    def id_range(self, series: LedgerSeries) -> tuple[int, int] | None:
        """First and last id of the time asked for; None if the ledger dates no trades to it."""
        windows = self._windows(series, _EVER[1])
        return (windows[0][0], windows[-1][1]) if windows else None

    def time_span(self, series: LedgerSeries) -> Span:
        """The time asked for, or that of the watched ids as far as the ledger dates them."""
        span = Span(
            series.symbol, series.stream, series.interval or None, self._span.from_ms, self._span.to_ms
        )
        if self._watched_ids is None:
            return span
        times = self._ledger.account(series).dates.times_of(*self._watched_ids)
        return span if times is None else replace(span, from_ms=times[0], to_ms=times[1])

    def without_indicators(self, series: LedgerSeries) -> IdRanges:
        """Bars that came after later ones: indicators are not computed for them."""
        return self._book.notes_of(series).late

    def expired(self, series: LedgerSeries) -> int:
        """The highest id that the store may have let expire."""
        kept_from_ms = oldest_kept_ms(self.as_of_ms, self._expiry_ns)
        if kept_from_ms is None:
            return _EVER[0]
        if series.stream == "trades":
            newest = self._ledger.account(series).dates.newest_before(kept_from_ms)
            return _EVER[0] if newest is None else newest
        if KLINE.bucket((series.exchange, series.symbol, series.interval)) != "ticks":
            return _EVER[0]
        return kept_from_ms // series.unit

    def reports(self) -> list[SeriesReport]:
        """How each series stands."""
        return [self._report(series) for series in sorted(self.series, key=SeriesReport.order)]

    def unknown(self) -> list[Unknown]:
        """What could not be looked at: of silent producers, and events that were deleted uncounted."""
        found = [
            Unknown((series,), since_ms, None, "its producer has said nothing since, nor that it stopped")
            for series, since_ms in self._ledger.silent_since().items()
            if self._span.holds(series) and self._span.overlaps(since_ms, None)
        ]
        for partition, from_ms, to_ms in self._book.uncovered():
            series = [one for one in self._book.series_of(partition) if self._span.holds(one)]
            if self._span.overlaps(from_ms, to_ms):
                why = f"events of partition {partition} were deleted before they were counted"
                found.append(Unknown(tuple(series), from_ms, to_ms, why))
        return found

    def uncarried_now(self) -> list[Note]:
        """Streams that are not carried now, as far as the ledger says."""
        newest = {note.series: note for note in self.notes() if note.kind == "uncarried"}
        return [note for note in newest.values() if note.uncarried_now]

    def notes(self) -> list[Note]:
        """The newest gaps, late and revised records, unsynced and uncarried spans that were found."""
        return [
            Note(series, note.kind, note.first, note.last, note.time_ms, note.detail)
            for series, notes in self._book.notes()
            if self._span.holds(series)
            for note in notes.newest()
            if note.kind != "late" and (note.time_ms is None or self._span.holds_time(note.time_ms))
        ]

    def note_counts(self) -> dict[tuple[LedgerSeries, str], int]:
        """How many of each kind there were, by series and kind; of a time, of those that are kept."""
        if self._span.timed:
            counts: dict[tuple[LedgerSeries, str], int] = {}
            for note in self.notes():
                counts[note.series, note.kind] = counts.get((note.series, note.kind), 0) + 1
            return counts
        return {
            (series, kind): count
            for series, notes in self._book.notes()
            if self._span.holds(series)
            for kind, count in notes.counts.items()
        }

    def _report(self, series: LedgerSeries) -> SeriesReport:
        sets = self._ledger.ranges(series)
        windows = self._windows(series, self._ends.get(series, _EVER[1]))
        # What the ledger has settled is in its totals only; its time is no longer known.
        before = self._settled(series, sets) if not self._span.timed else dict.fromkeys(sets, 0)
        counted = {kind: before[kind] + _count(ids, windows) for kind, ids in sets.items()}
        unheard = IdRanges(_cut(self._unheard(series), windows))
        lost = list(self._lost(series).difference(unheard))
        settled_lost = 0 if self._span.timed else self._settled_lost(series)
        return SeriesReport(
            series,
            expected=counted["expected"],
            stored=counted["stored"],
            backfilled=counted["repaired"],
            halted=counted["halted"],
            offline=counted["offline"],
            lost=settled_lost + sum(last - first + 1 for first, last in lost),
            duplicates=counted["duplicates"],
            lost_ranges=tuple((first * series.unit, last * series.unit) for first, last in lost),
            unknown=unheard.id_count(),
        )

    def _young(self, series: LedgerSeries) -> IdRanges:
        """What was issued a moment ago, or said to be."""
        young = IdRanges(self._said.get(series, ()))
        now_ms = self._book.time.now_ms
        if now_ms is not None and series.stream == "trades":
            young.update(self._ledger.account(series).dates.between(now_ms - _YOUNG_MS, None))
        elif now_ms is not None:
            young.add((now_ms - _YOUNG_MS) // series.unit - 1, now_ms // series.unit)
        return young.difference(self._unheard(series))

    def _unheard(self, series: LedgerSeries) -> IdRanges:
        return self._ledger.account(series).unheard()

    def _lost(self, series: LedgerSeries) -> IdRanges:
        sets = self._ledger.ranges(series)
        lost = IdRanges(_cut(sets["expected"], self._windows(series, self._ends.get(series, _EVER[1]))))
        for kind in ("stored", "halted", "offline"):
            lost = lost.difference(sets[kind])
        return lost

    def _settled(self, series: LedgerSeries, sets: Mapping[str, IdRanges]) -> dict[str, int]:
        totals = self._ledger.account(series).totals()
        names = {"repaired": "backfilled"}
        return {kind: getattr(totals, names.get(kind, kind)) - ids.id_count() for kind, ids in sets.items()}

    def _settled_lost(self, series: LedgerSeries) -> int:
        sets = self._ledger.ranges(series)
        lost = sets["expected"]
        for kind in ("stored", "halted", "offline"):
            lost = lost.difference(sets[kind])
        return self._ledger.account(series).totals().lost - lost.id_count()

    def _windows(self, series: LedgerSeries, end: int) -> Ranges:
        """The ids asked for, up to `end`."""
        span, unit = self._span, series.unit
        if not span.timed:
            return [(_EVER[0], end)]
        if series.stream == "trades":
            dated = self._ledger.account(series).dates.between(span.from_ms, span.to_ms)
            return [(first, min(last, end)) for first, last in dated if first <= end]
        first = _EVER[0] if span.from_ms is None else -(-span.from_ms // unit)
        last = _EVER[1] if span.to_ms is None else (span.to_ms - 1) // unit
        return [(first, min(last, end))]


def _meet(some: IdRanges, others: IdRanges) -> bool:
    return any(others.intersection_count(first, last) for first, last in some)


def _cut(ids: IdRanges, windows: Ranges) -> Ranges:
    return [part for first, last in windows if first <= last for part in ids.within(first, last)]


def _count(ids: IdRanges, windows: Ranges) -> int:
    return sum(ids.intersection_count(first, last) for first, last in windows if first <= last)
