"""What the events of `pipeline.ledger` claim for some series and some time. Pure.

The sets are those of `consumers.ledger_book`, cut to the queried time and to the ids that were expected at
the end of the topic: later ids are no loss.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from consumers.completeness import COUNTED_STREAMS, refusal
from consumers.ledger_book import LedgerBook
from consumers.ledger_snapshot import Restart
from consumers.measurements import KLINE
from consumers.stores.storable import oldest_kept_ms
from cryptostream.ledger_report.followed import Followed, followed
from cryptostream.ledger_report.notes import notes_of
from cryptostream.ledger_report.only_counted import claimed_by_number, counts_of_time, older_than_kept
from cryptostream.ledger_report.recount import Claimed
from cryptostream.ledger_report.report import Note, SeriesReport, Span, Unknown, unfollowed
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries
from shared.messages import LedgerMessage
from shared.topics import LEDGER

# Of all sets of a series together: some 70 MB.
_MAX_RANGES: Final = 800_000
# `stored` follows `expected` within seconds: older ids are not on their way any more.
_YOUNG_MS: Final = 2 * 60_000
_EVER: Final = (-(2**63), 2**63 - 1)

Ranges = list[tuple[int, int]]


class Claims:
    """Receives events; call `end` at the end of the topic, then feed more while something is `undecided`.

    Args:
        expiry_ns: retention of the bucket `ticks` in the exchange's time; None for ever.
        watched_ids: trade ids whose time `time_span` tells.
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
        self._followed: dict[LedgerSeries, Followed] = {}
        self._next = 0
        self._reported: dict[LedgerSeries, IdRanges] = {}  # expected ids in the events, without the snapshots

    def take(self, partition: int, restart: Restart) -> None:
        """Begin a partition with its snapshots."""
        self._book.assign(partition, restart)

    def receive(self, message: LedgerMessage, partition: int = 0, offset: int | None = None) -> None:
        """Enter an event; the ledger's consumer handles the invalid ones.

        Args:
            offset: None if all events are received, from the first one.
        """
        self._next = self._next + 1 if offset is None else offset + 1
        self._book.receive(partition, self._next - 1, message)
        if message["kind"] == "expected" and message["stream"] in COUNTED_STREAMS and not refusal(message):
            series = LedgerSeries.of(message)
            reported = self._reported.setdefault(series, IdRanges())
            reported.add(message["first"] // series.unit, message["last"] // series.unit)

    def end(self) -> None:
        """The end of the topic: ids expected later are not part of the report."""
        self._book.expect_by_clock()
        if self._span.timed:
            self._followed = followed(self._ledger, self.as_of_ms)
        for series in self.series:
            newest = self._ledger.ranges(series)["expected"].last
            self._ends[series] = _EVER[0] if newest is None else newest

    @property
    def undecided(self) -> bool:
        """Whether ids count as lost that may still be on their way to the store."""
        return any(
            self._young(series).intersection_count(first, last)
            for series in self._ends
            for first, last in self._lost(series)
        )

    @property
    def series(self) -> list[LedgerSeries]:
        """The counted series."""
        return [series for series in self._ledger.series() if self._span.holds(series)]

    @property
    def begun(self) -> list[LedgerSeries]:
        """Those that had begun before the queried time ended, whether or not they went on into it."""
        begins = {
            series: self._followed[series].from_ms for series in self.series if series in self._followed
        }
        return [series for series in self.series if self._span.overlaps(begins.get(series), None)]

    @property
    def looked_at(self) -> bool:
        """Whether any of the series was followed in the queried time: if not, no count says anything."""
        spans = (self._followed[series] for series in self.series if series in self._followed)
        return not self._span.timed or any(self._span.overlaps(*span) for span in spans)

    @property
    def as_of_ms(self) -> int | None:
        """The exchange's time of the report; None if no event tells it."""
        return self._book.time.now_ms

    def stored(self, series: LedgerSeries) -> IdRanges:
        """Ids whose points the store has acknowledged, including the newest; without `only_counted`."""
        windows = self._windows(series, _EVER[1])
        return IdRanges(_cut(self._ledger.ranges(series)["stored"], windows))

    def claimed(self, series: LedgerSeries) -> Claimed:
        """What a recount of the store must find."""
        windows = self._windows(series, _EVER[1])
        return Claimed(
            self.stored(series),
            self.without_indicators(series),
            self.expired(series),
            IdRanges(_cut(self.only_counted(series), windows)),
            None if self._span.timed else claimed_by_number(self._ledger.account(series)),
            self._book.incidents_of(series).late_from,
        )

    def only_counted(self, series: LedgerSeries) -> IdRanges:
        """Ids of which only the number of stored ones is known, for all time."""
        return self._ledger.account(series).only_counted() if series in self._ledger else IdRanges()

    def ever_stored(self, series: LedgerSeries) -> IdRanges:
        """The same for all time; read-only."""
        return self._ledger.ranges(series)["stored"] if series in self._ledger else IdRanges()

    def halted(self, series: LedgerSeries) -> IdRanges:
        """Bars that do not exist, since the exchange was closed; read-only."""
        return self._ledger.ranges(series)["halted"]

    def wrong(self, series: LedgerSeries) -> IdRanges:
        """Stored bars whose values their trades contradict, and that are not corrected."""
        return self._ledger.account(series).wrong()

    def trades_say(self, series: LedgerSeries) -> dict[int, str]:
        """What the trades of the newest of them say, by id."""
        said = self._book.incidents_of(series).trades_say
        return {open_ms // series.unit: detail for open_ms, detail in said.items()}

    def last_expected(self, series: LedgerSeries) -> int:
        """The highest id expected at the end of the topic."""
        return self._ends[series]

    def id_range(self, series: LedgerSeries) -> tuple[int, int] | None:
        """First and last id of the queried time; None if the ledger dates no trades to it."""
        windows = self._windows(series, _EVER[1])
        return (windows[0][0], windows[-1][1]) if windows else None

    def time_span(self, series: LedgerSeries) -> Span:
        """The queried time, or that of the watched ids if the ledger dates them."""
        span = replace(
            self._span,
            exchange=series.exchange,
            symbol=series.symbol,
            stream=series.stream,
            interval=series.interval or None,
        )
        if self._watched_ids is None:
            return span
        times = self._ledger.account(series).times_of(*self._watched_ids)
        return span if times is None else replace(span, from_ms=times[0], to_ms=times[1])

    def without_indicators(self, series: LedgerSeries) -> IdRanges:
        """Late bars, for which no indicators are computed."""
        return self._book.incidents_of(series).late

    def expired(self, series: LedgerSeries) -> int:
        """The highest id whose point may have expired."""
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
        """The report of each series that had begun."""
        return [self._report(series) for series in sorted(self.begun, key=SeriesReport.order)]

    def unknown(self) -> list[Unknown]:
        """What is unknown: series of silent producers, a time that nobody followed, and events that were
        deleted uncounted."""
        silent = self._ledger.silent_since()
        found = [
            Unknown((series,), since_ms, None, "its producer has not reported since, nor that it stopped")
            for series, since_ms in silent.items()
            if self._span.holds(series) and self._span.overlaps(since_ms, None)
        ]
        if not self.looked_at:
            ends = {series: span.to_ms for series, span in self._followed.items()}
            found += unfollowed({series: ends.get(series) for series in self.begun if series not in silent})
        for partition, from_ms, to_ms in self._book.uncovered():
            series = [one for one in self._book.series_of(partition) if self._span.holds(one)]
            if self._span.overlaps(from_ms, to_ms):
                why = f"events of partition {partition} were deleted before they were counted"
                found.append(Unknown(tuple(series), from_ms, to_ms, why))
        for partitions, separated in self._book.separated().items():
            series = [one for one in separated if self._span.holds(one)]
            if series:
                found.append(Unknown(tuple(series), None, None, _out_of_order(partitions)))
        older = (older_than_kept(self._ledger.account(one), self._span) for one in self.series)
        return found + [unknown for unknown in older if unknown is not None]

    def uncarried_now(self) -> list[Note]:
        """Streams that are not carried now, and were not in some of the queried time."""
        uncarried = (each for each in self._all_notes() if each[0].kind == "uncarried")
        newest = {note.series: (note, end_ms) for note, end_ms in uncarried}
        return [
            note
            for note, end_ms in newest.values()
            if note.goes_on and self._span.overlaps(note.begin_ms, end_ms)
        ]

    def notes(self) -> list[Note]:
        """The newest gaps, revised records, unsynced and uncarried spans that overlap the queried time."""
        return [note for note, end_ms in self._all_notes() if self._span.overlaps(note.begin_ms, end_ms)]

    def _all_notes(self) -> Iterator[tuple[Note, int | None]]:
        for series, incidents in self._book.incidents():
            if self._span.holds(series):
                yield from notes_of(series, incidents, self.as_of_ms)

    def note_counts(self) -> dict[tuple[LedgerSeries, str], int]:
        """The number of notes by series and kind; for a span of time, of the notes that are kept."""
        if self._span.timed:
            return Counter((note.series, note.kind) for note in self.notes())
        return {
            (series, kind): count
            for series, notes in self._book.incidents()
            if self._span.holds(series)
            for kind, count in notes.counts.items()
        }

    def _report(self, series: LedgerSeries) -> SeriesReport:
        sets = self._ledger.ranges(series)
        windows = self._windows(series, self._ends.get(series, _EVER[1]))
        counted = {
            kind: sum(ids.intersection_count(first, last) for first, last in windows if first <= last)
            for kind, ids in sets.items()
        }
        told: dict[str, int | None] = dict(counted)
        if self._span.timed:
            told = counts_of_time(self._ledger.account(series), windows, counted)
        unheard = IdRanges(_cut(self._unheard(series), windows))
        lost = list(self._lost(series).difference(unheard))
        final_lost = 0
        if not self._span.timed:
            # Final ids are in the ledger's totals only, without their time.
            totals = self._ledger.account(series).totals()
            for kind, ids in sets.items():
                name = "backfilled" if kind == "repaired" else kind
                told[kind] = counted[kind] + getattr(totals, name) - ids.id_count()
            final_lost = totals.lost - self._ledger.account(series).unaccounted(sets["expected"]).id_count()
        return SeriesReport(
            series,
            expected=told["expected"] or 0,
            stored=told["stored"],
            backfilled=told["repaired"],
            halted=told["halted"],
            offline=told["offline"],
            lost=final_lost + sum(last - first + 1 for first, last in lost),
            duplicates=told["duplicates"],
            lost_ranges=tuple((first * series.unit, last * series.unit) for first, last in lost),
            unknown=unheard.id_count(),
            different=IdRanges(_cut(self.wrong(series), windows)).id_count(),
        )

    def _young(self, series: LedgerSeries) -> IdRanges:
        """Ids that were issued or reported a moment ago."""
        young = IdRanges(self._reported.get(series, ()))
        now_ms = self._book.time.now_ms
        if now_ms is not None and series.stream == "trades":
            young.update(self._ledger.account(series).issued_between(now_ms - _YOUNG_MS, None))
        elif now_ms is not None:
            young.add((now_ms - _YOUNG_MS) // series.unit - 1, now_ms // series.unit)
        return young.difference(self._unheard(series))

    def _unheard(self, series: LedgerSeries) -> IdRanges:
        return self._ledger.account(series).unheard()

    def _lost(self, series: LedgerSeries) -> IdRanges:
        sets = self._ledger.ranges(series)
        windows = self._windows(series, self._ends.get(series, _EVER[1]))
        expected = IdRanges(_cut(sets["expected"], windows))
        return self._ledger.account(series).unaccounted(expected)

    def _windows(self, series: LedgerSeries, end: int) -> Ranges:
        """The ids of the queried time, up to `end`."""
        span, unit = self._span, series.unit
        if not span.timed:
            return [(_EVER[0], end)]
        if series.stream == "trades":
            dated = self._ledger.account(series).issued_between(span.from_ms, span.to_ms)
            return [(first, min(last, end)) for first, last in dated if first <= end]
        first = _EVER[0] if span.from_ms is None else -(-span.from_ms // unit)
        last = _EVER[1] if span.to_ms is None else (span.to_ms - 1) // unit
        return [(first, min(last, end))]


def _out_of_order(partitions: tuple[int, ...]) -> str:
    """Why not all is known of series with events on several partitions, although all are counted."""
    numbers = ", ".join(map(str, partitions[:-1]))
    return (
        f"events are on partitions {numbers} and {partitions[-1]}, and which were first is not known; stop"
        f" producers and consumers, then run: cryptostream topics --rebuild {LEDGER}"
    )


def _cut(ids: IdRanges, windows: Ranges) -> Ranges:
    return [part for first, last in windows if first <= last for part in ids.within(first, last)]
