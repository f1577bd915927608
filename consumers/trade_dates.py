"""Dates of trades: the ids of each minute of the last days, and of each day before them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from consumers.dated_ids import DatedIds, IdRange
from shared.id_ranges import IdRanges

MINUTE_MS: Final = 60_000
DAY_MS: Final = 24 * 60 * MINUTE_MS
# As long as the store keeps trades. By count, not by distance from the newest: one time far ahead takes one
# entry, and does not evict all others.
KEPT_MINUTES: Final = 7 * 24 * 60
KEPT_DAYS: Final = 3_660
# A minute is one range, and some more where ids and times disagree: some 3 MB a series.
KEPT_RANGES: Final = 2 * KEPT_MINUTES


class TradeDates:
    """Ids by minute; beyond the limit the minutes with the lowest ids are merged into days."""

    def __init__(self) -> None:
        self._minutes = DatedIds(MINUTE_MS)
        self._days = DatedIds(DAY_MS)
        # Minutes whose ids all moved to other minutes: their rows must be rewritten.
        self._emptied: dict[int, None] = {}
        # The minute of undated ids, while no other is known.
        self._heard_ms: int | None = None

    def hear(self, time_ms: int) -> None:
        """Undated ids were first heard of at `time_ms`: they belong to its minute until an id is dated."""
        if self._heard_ms is None and self.last < 0:
            self._heard_ms = time_ms - time_ms % MINUTE_MS

    @property
    def last(self) -> int:
        """The highest dated id; below 0 if there is none."""
        return max(self._minutes.last, self._days.last)

    def add(self, first: int, last: int, time_ms: int) -> None:
        """Date the ids `first` to `last` to the minute of `time_ms`, unless they have an earlier one."""
        before = set(self._minutes.steps_of(first, last))
        if self._heard_ms is not None:
            before.add(self._heard_ms)
            self._heard_ms = None
        minute_ms = time_ms - time_ms % MINUTE_MS
        self._minutes.add(first, last, minute_ms)
        if minute_ms in self._minutes:
            self._emptied.pop(minute_ms, None)
        self._emptied.update(dict.fromkeys(sorted(at for at in before if at not in self._minutes)))
        while len(self._emptied) > KEPT_MINUTES:
            del self._emptied[next(iter(self._emptied))]
        while self._minutes.step_count() > KEPT_MINUTES or self._minutes.range_count() > KEPT_RANGES:
            self._join_to_days(self._minutes.lowest_ms)

    def ids_of(self, minute_ms: int, issued: IdRange | None = None) -> list[IdRange] | None:
        """The ids of a minute, as ranges; None if it is unknown, or merged into its day.

        Args:
            issued: the undated ids of this range before the first and after the last dated one belong to the
                minutes of these; if None, to no minute.
        """
        if issued is not None and minute_ms == self._heard_ms:
            return [issued]
        ids = self._minutes.ids_of(minute_ms, self._days.last, issued)
        return ids if ids or minute_ms in self._emptied else None

    def minutes_of(self, first: int, last: int, issued: IdRange | None = None) -> Iterator[int]:
        """The minutes that hold some of these ids, as in `ids_of`; may repeat."""
        if issued is not None and self._heard_ms is not None:
            yield self._heard_ms
        yield from self._minutes.steps_of(first, last, issued)

    def between(self, from_ms: int | None, to_ms: int | None, issued: IdRange | None = None) -> IdRanges:
        """The ids of a time, `to_ms` excluded; where only the day is known, those of whole days.

        Args:
            issued: as in `ids_of`.
        """
        return IdRanges(
            (first, last)
            for first, last, begin_ms, end_ms in self._spans(issued)
            if (from_ms is None or end_ms > from_ms) and (to_ms is None or begin_ms < to_ms)
        )

    def times_of(self, first: int, last: int, issued: IdRange | None = None) -> tuple[int, int] | None:
        """Begin and end of the known time of these ids; `issued` as in `ids_of`."""
        found = [
            (begin_ms, end_ms)
            for of_first, of_last, begin_ms, end_ms in self._spans(issued)
            if of_first <= last and of_last >= first
        ]
        return (min(begin for begin, _ in found), max(end for _, end in found)) if found else None

    def newest_before(self, time_ms: int) -> int | None:
        """The highest dated id of a minute or day that begins before `time_ms`."""
        return max((last for _, last, begin_ms, _ in self._spans(None) if begin_ms < time_ms), default=None)

    def newest_ms(self) -> int | None:
        """Begin of the minute with the highest ids."""
        return self._minutes.newest_ms

    def _spans(self, issued: IdRange | None) -> Iterator[tuple[int, int, int, int]]:
        # What follows the last day belongs to the minutes.
        if issued is not None and self._heard_ms is not None:
            yield *issued, self._heard_ms, self._heard_ms + MINUTE_MS
        of_days = None if issued is None else (issued[0], self._days.last)
        yield from self._days.spans(issued=of_days)
        yield from self._minutes.spans(self._days.last, issued)

    def _join_to_days(self, minute_ms: int) -> None:
        # Whole minutes: the row of an incomplete minute would count too little.
        for first, last, _ in self._minutes.take(minute_ms):
            self._days.add(first, last, minute_ms - minute_ms % DAY_MS)
        while self._days.step_count() > KEPT_DAYS or self._days.range_count() > KEPT_RANGES:
            self._days.take(self._days.oldest_ms)

    # -- snapshots -------------------------------------------------------------------------------------

    def merge(self, other: TradeDates) -> None:
        """Add the dates of another snapshot; of an id's two dates the earlier one holds."""
        heard = [at for at in (self._heard_ms, other._heard_ms) if at is not None]
        for first, last, day_ms in other._days:
            self._days.add(first, last, day_ms)
        for first, last, minute_ms in other._minutes:
            self.add(first, last, minute_ms)
        written = {*other._emptied, *(minute_ms for *_, minute_ms in other._minutes)}
        self._heard_ms = min(heard) if heard and self.last < 0 else None
        written.update(at for at in heard if at != self._heard_ms)
        self._emptied.update((at, None) for at in sorted(written) if at not in self._minutes)

    def state(self) -> dict[str, Any]:
        """The state as small integers."""
        return {
            "minutes": self._minutes.distances(),
            "days": self._days.distances(),
            "emptied": [minute_ms // MINUTE_MS for minute_ms in self._emptied],
            "heard_ms": self._heard_ms,
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> TradeDates:
        """Inverse of `state`."""
        dates = cls()
        dates._minutes = DatedIds.of_distances(state["minutes"], MINUTE_MS)
        dates._days = DatedIds.of_distances(state["days"], DAY_MS)
        # Older snapshots lack these.
        dates._heard_ms = state.get("heard_ms")
        dates._emptied = dict.fromkeys(minute * MINUTE_MS for minute in state.get("emptied", ()))
        return dates
