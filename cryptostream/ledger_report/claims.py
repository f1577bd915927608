"""What the events of `pipeline.ledger` claim, for some series and some time. Pure.

The sets are those of `consumers.completeness`; here they are cut to the time asked for and to what was
expected when the end of the topic was reached: what is issued while we read is no loss.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from consumers.completeness import KINDS_OF_TIMES, CompletenessLedger, refusal
from consumers.ledger_events import LedgerSeries
from consumers.measurements import KLINE
from cryptostream.ledger_report.report import Note, SeriesReport
from cryptostream.ledger_report.span import MINUTE_MS, Span
from shared.id_ranges import IdRanges
from shared.messages import LedgerMessage

# 100,000 holes a set and series: some 7 MB each, read once by one process.
_MAX_RANGES: Final = 100_000
_NOTES_KEPT: Final = 20
_NOTED: Final = frozenset(("gap", "late", "revised", "unsynced", "uncarried"))
_EVER: Final = (-(2**63), 2**63 - 1)

Ranges = list[tuple[int, int]]


class Claims:
    """Feed it with events, `end` it where the topic ends; then go on feeding while something is `undecided`.

    Args:
        oldest_kept_ms: older points are gone from the bucket `ticks`; None if it keeps everything.
        watched_ids: trade ids of which the time is asked for, by `time_span`.
    """

    def __init__(
        self, span: Span, oldest_kept_ms: int | None, *, watched_ids: tuple[int, int] | None = None
    ) -> None:
        self._span = span
        self._oldest_kept_ms = oldest_kept_ms
        self._watched_ids = watched_ids
        self._watched_ms: tuple[int, int] | None = None
        self._ledger = CompletenessLedger(_MAX_RANGES)
        self._series: dict[LedgerSeries, None] = {}
        self._dated: dict[LedgerSeries, IdRanges] = {}  # trades of the time asked for
        self._expired: dict[LedgerSeries, int] = {}  # highest trade id that the store no longer keeps
        self._late: dict[LedgerSeries, IdRanges] = {}
        self._notes: dict[tuple[LedgerSeries, str], deque[Note]] = {}
        self._note_counts: dict[tuple[LedgerSeries, str], int] = {}
        self._ends: dict[LedgerSeries, int] = {}

    def receive(self, message: LedgerMessage) -> None:
        """Enter an event; those that make no sense are left to the ledger's consumer."""
        series = LedgerSeries(
            message["exchange"], message["symbol"], message["stream"], message["interval"] or ""
        )
        if refusal(message) is not None or not self._span.holds(series):
            return
        if message["kind"] in _NOTED:
            self._note(series, message)
        if series.stream not in ("klines", "trades") or message["kind"] in KINDS_OF_TIMES:
            return
        self._ledger.receive(message)
        self._series[series] = None
        time_ms = message["event_time_ms"]
        if series.stream == "trades" and message["kind"] == "expected" and time_ms is not None:
            self._date(series, message["first"], message["last"], time_ms)

    def end(self) -> None:
        """The topic's end is reached: what is expected from now on is not asked for."""
        for series in self._series:
            expected = list(self._ledger.ranges(series)["expected"])
            self._ends[series] = expected[-1][1] if expected else _EVER[0]

    @property
    def undecided(self) -> bool:
        """Ids count as lost that may still be on their way to the store."""
        return any(self._lost(series) for series in self._ends)

    @property
    def series(self) -> list[LedgerSeries]:
        """The counted series."""
        return list(self._series)

    def stored(self, series: LedgerSeries) -> IdRanges:
        """Ids of which the store is said to have acknowledged the points; all of them, also the newest."""
        windows = self._windows(series, _EVER[1])
        return IdRanges(_cut(self._ledger.ranges(series)["stored"], windows))

    def ever_stored(self, series: LedgerSeries) -> IdRanges:
        """The same for all time, not to be changed."""
        return self._ledger.ranges(series)["stored"] if series in self._series else IdRanges()

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
        """The time asked for, or that of the watched ids as far as the ledger dates them, in minutes."""
        span = Span(
            series.symbol, series.stream, series.interval or None, self._span.from_ms, self._span.to_ms
        )
        if self._watched_ms is None:
            return span
        earliest, latest = (time_ms // MINUTE_MS * MINUTE_MS for time_ms in self._watched_ms)
        return replace(span, from_ms=earliest, to_ms=latest + MINUTE_MS)

    def without_indicators(self, series: LedgerSeries) -> IdRanges:
        """Bars that came after later ones: indicators are not computed for them."""
        return self._late.get(series, IdRanges())

    def expired(self, series: LedgerSeries) -> int:
        """The highest id that the store may have let expire."""
        if self._oldest_kept_ms is None:
            return _EVER[0]
        if series.stream == "trades":
            return self._expired.get(series, _EVER[0])
        if KLINE.bucket((series.exchange, series.symbol, series.interval)) != "ticks":
            return _EVER[0]
        return self._oldest_kept_ms // series.unit

    def reports(self) -> list[SeriesReport]:
        """How each series stands."""
        return [self._report(series) for series in sorted(self._series, key=SeriesReport.order)]

    def notes(self) -> list[Note]:
        """The newest gaps, late and revised records, unsynced and uncarried spans that were found."""
        return [note for notes in self._notes.values() for note in notes if note.kind != "late"]

    def note_counts(self) -> dict[tuple[LedgerSeries, str], int]:
        """How many of each kind there were, by series and kind."""
        return dict(self._note_counts)

    def _report(self, series: LedgerSeries) -> SeriesReport:
        sets = self._ledger.ranges(series)
        windows = self._windows(series, self._ends.get(series, _EVER[1]))
        # What the ledger has settled is in its totals only; its time is no longer known.
        before = self._settled(series, sets) if not self._span.timed else dict.fromkeys(sets, 0)
        counted = {kind: before[kind] + _count(ids, windows) for kind, ids in sets.items()}
        lost = list(self._lost(series))
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
        )

    def _lost(self, series: LedgerSeries) -> IdRanges:
        sets = self._ledger.ranges(series)
        lost = IdRanges(_cut(sets["expected"], self._windows(series, self._ends.get(series, _EVER[1]))))
        for kind in ("stored", "halted", "offline"):
            lost = lost.difference(sets[kind])
        return lost

    def _settled(self, series: LedgerSeries, sets: Mapping[str, IdRanges]) -> dict[str, int]:
        totals = self._ledger.totals()[series]
        return {
            kind: getattr(totals, {"repaired": "backfilled"}.get(kind, kind)) - len(ids)
            for kind, ids in sets.items()
        }

    def _settled_lost(self, series: LedgerSeries) -> int:
        sets = self._ledger.ranges(series)
        lost = sets["expected"]
        for kind in ("stored", "halted", "offline"):
            lost = lost.difference(sets[kind])
        return self._ledger.totals()[series].lost - len(lost)

    def _windows(self, series: LedgerSeries, end: int) -> Ranges:
        """The ids asked for, up to `end`."""
        span, unit = self._span, series.unit
        if not span.timed:
            return [(_EVER[0], end)]
        if series.stream == "trades":
            return [(first, min(last, end)) for first, last in self._dated.get(series, ()) if first <= end]
        first = _EVER[0] if span.from_ms is None else -(-span.from_ms // unit)
        last = _EVER[1] if span.to_ms is None else (span.to_ms - 1) // unit
        return [(first, min(last, end))]

    def _date(self, series: LedgerSeries, first: int, last: int, time_ms: int) -> None:
        if self._oldest_kept_ms is not None and time_ms < self._oldest_kept_ms:
            self._expired[series] = max(last, self._expired.get(series, last))
        if self._span.timed and self._span.holds_time(time_ms):
            self._dated.setdefault(series, IdRanges()).add(first, last)
        if self._watched_ids is not None and first <= self._watched_ids[1] and last >= self._watched_ids[0]:
            earliest, latest = self._watched_ms or (time_ms, time_ms)
            self._watched_ms = (min(earliest, time_ms), max(latest, time_ms))

    def _note(self, series: LedgerSeries, message: LedgerMessage) -> None:
        time_ms = message["first"] if series.stream == "klines" else message["event_time_ms"]
        if time_ms is not None and not self._span.holds_time(time_ms):
            return
        key = (series, message["kind"])
        self._note_counts[key] = self._note_counts.get(key, 0) + 1
        self._notes.setdefault(key, deque(maxlen=_NOTES_KEPT)).append(
            Note(series, message["kind"], message["first"], message["last"], time_ms, message["detail"])
        )
        if message["kind"] == "late" and series.stream == "klines":
            late = self._late.setdefault(series, IdRanges())
            late.add(message["first"] // series.unit, message["last"] // series.unit)


def _cut(ids: IdRanges, windows: Ranges) -> Ranges:
    return [part for first, last in windows if first <= last for part in ids.within(first, last)]


def _count(ids: IdRanges, windows: Ranges) -> int:
    return sum(ids.intersection_count(first, last) for first, last in windows if first <= last)
