"""Dates of trades: the ids of each minute of the last days, and of each day before them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from consumers.dated_ids import DatedIds
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

    def add(self, first: int, last: int, time_ms: int) -> None:
        """Date the ids `first` to `last` to the minute of `time_ms`, unless they have an earlier one."""
        before = set(self._minutes.steps_of(first, last))
        minute_ms = time_ms - time_ms % MINUTE_MS
        self._minutes.add(first, last, minute_ms)
        if minute_ms in self._minutes:
            self._emptied.pop(minute_ms, None)
        self._emptied.update(dict.fromkeys(sorted(at for at in before if at not in self._minutes)))
        while len(self._emptied) > KEPT_MINUTES:
            del self._emptied[next(iter(self._emptied))]
        while self._minutes.step_count() > KEPT_MINUTES or self._minutes.range_count() > KEPT_RANGES:
            self._join_to_days(self._minutes.lowest_ms)

    def ids_of(self, minute_ms: int) -> list[tuple[int, int]] | None:
        """The ids of a minute, as ranges; None if it is unknown, or merged into its day."""
        ids = self._minutes.ids_of(minute_ms, self._days.last)
        return ids if ids or minute_ms in self._emptied else None

    def minutes_of(self, first: int, last: int) -> Iterator[int]:
        """The minutes that hold some of these ids; may repeat."""
        return self._minutes.steps_of(first, last)

    def between(self, from_ms: int | None, to_ms: int | None) -> IdRanges:
        """The ids of a time, `to_ms` excluded; where only the day is known, those of whole days."""
        return IdRanges(
            (first, last)
            for first, last, begin_ms, end_ms in self._spans()
            if (from_ms is None or end_ms > from_ms) and (to_ms is None or begin_ms < to_ms)
        )

    def times_of(self, first: int, last: int) -> tuple[int, int] | None:
        """Begin and end of the known time of these ids."""
        found = [
            (begin_ms, end_ms)
            for of_first, of_last, begin_ms, end_ms in self._spans()
            if of_first <= last and of_last >= first
        ]
        return (min(begin for begin, _ in found), max(end for _, end in found)) if found else None

    def newest_before(self, time_ms: int) -> int | None:
        """The highest id of a minute or day that begins before `time_ms`."""
        return max((last for _, last, begin_ms, _ in self._spans() if begin_ms < time_ms), default=None)

    def newest_ms(self) -> int | None:
        """Begin of the minute with the highest ids."""
        return self._minutes.newest_ms

    def _spans(self) -> Iterator[tuple[int, int, int, int]]:
        yield from self._days.spans()
        yield from self._minutes.spans(self._days.last)

    def _join_to_days(self, minute_ms: int) -> None:
        # Whole minutes: the row of an incomplete minute would count too little.
        for first, last, _ in self._minutes.take(minute_ms):
            self._days.add(first, last, minute_ms - minute_ms % DAY_MS)
        while self._days.step_count() > KEPT_DAYS or self._days.range_count() > KEPT_RANGES:
            self._days.take(self._days.oldest_ms)

    # -- snapshots -------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """The state as small integers."""
        return {
            "minutes": self._minutes.distances(),
            "days": self._days.distances(),
            "emptied": [minute_ms // MINUTE_MS for minute_ms in self._emptied],
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> TradeDates:
        """Inverse of `state`."""
        dates = cls()
        dates._minutes = DatedIds.of_distances(state["minutes"], MINUTE_MS)
        dates._days = DatedIds.of_distances(state["days"], DAY_MS)
        # Older snapshots lack it.
        dates._emptied = dict.fromkeys(minute * MINUTE_MS for minute in state.get("emptied", ()))
        return dates
