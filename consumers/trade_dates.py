"""When trades were: the ids of each minute of the last days, and of each day before them. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from typing import Final

from shared.id_ranges import IdRanges

MINUTE_MS: Final = 60_000
DAY_MS: Final = 24 * 60 * MINUTE_MS
# As long as the store keeps trades. By count and not by distance from the newest: one time that is far
# ahead takes one place, and does not push all others out.
KEPT_MINUTES: Final = 7 * 24 * 60
KEPT_DAYS: Final = 3_660

_Dated = tuple[int, int, int]  # first id, last id, begin of the minute or day in ms


class TradeDates:
    """Spans of ids by minute; spans that become too many are joined to days, the lowest ids first."""

    def __init__(self) -> None:
        self._minutes: list[_Dated] = []  # by first id
        self._by_minute: dict[int, _Dated] = {}
        self._days: dict[int, tuple[int, int]] = {}

    def add(self, first: int, last: int, time_ms: int) -> None:
        """Note that the ids `first` to `last` lie in the minute of `time_ms`."""
        minute_ms = time_ms - time_ms % MINUTE_MS
        dated = self._by_minute.get(minute_ms)
        if dated is not None:
            if dated[0] <= first and last <= dated[1]:
                return
            del self._minutes[bisect_left(self._minutes, dated)]
            first, last = min(first, dated[0]), max(last, dated[1])
        dated = (first, last, minute_ms)
        self._by_minute[minute_ms] = dated
        insort(self._minutes, dated)
        if len(self._minutes) > KEPT_MINUTES:
            oldest = self._minutes.pop(0)
            del self._by_minute[oldest[2]]
            self._add_day(*oldest)

    def ids_of(self, minute_ms: int) -> tuple[int, int] | None:
        """First and last id of a minute; None if there are none, or it is only known by the day."""
        dated = self._by_minute.get(minute_ms)
        return dated[:2] if dated else None

    def minutes_of(self, first: int, last: int) -> Iterator[int]:
        """The kept minutes in which some of these ids may lie."""
        index = max(bisect_right(self._minutes, (first, last, 0)) - 1, 0)
        while index < len(self._minutes) and self._minutes[index][0] <= last:
            if self._minutes[index][1] >= first:
                yield self._minutes[index][2]
            index += 1

    def between(self, from_ms: int | None, to_ms: int | None) -> IdRanges:
        """The ids of a time, `to_ms` excluded; where only the day is known, of all days it touches."""
        return IdRanges(
            (first, last)
            for first, last, begin_ms, end_ms in self._spans()
            if (from_ms is None or end_ms > from_ms) and (to_ms is None or begin_ms < to_ms)
        )

    def times_of(self, first: int, last: int) -> tuple[int, int] | None:
        """Begin and end of the time in which these ids lie, as far as it is known."""
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
        return self._minutes[-1][2] if self._minutes else None

    def _spans(self) -> Iterator[tuple[int, int, int, int]]:
        for day_ms, (first, last) in self._days.items():
            yield first, last, day_ms, day_ms + DAY_MS
        for first, last, minute_ms in self._minutes:
            yield first, last, minute_ms, minute_ms + MINUTE_MS

    def _add_day(self, first: int, last: int, minute_ms: int) -> None:
        day_ms = minute_ms - minute_ms % DAY_MS
        before = self._days.get(day_ms, (first, last))
        self._days[day_ms] = (min(first, before[0]), max(last, before[1]))
        if len(self._days) > KEPT_DAYS:
            del self._days[min(self._days)]

    # -- snapshots -------------------------------------------------------------------------------------

    def state(self) -> dict[str, list[int]]:
        """All of it as integers: distances, which are small."""
        days = [(first, last, day_ms) for day_ms, (first, last) in sorted(self._days.items())]
        return {"minutes": _distances(self._minutes, MINUTE_MS), "days": _distances(days, DAY_MS)}

    @classmethod
    def of(cls, state: dict[str, list[int]]) -> TradeDates:
        """The counterpart of `state`."""
        dates = cls()
        dates._minutes = list(_dated(state["minutes"], MINUTE_MS))
        dates._by_minute = {dated[2]: dated for dated in dates._minutes}
        dates._days = {day_ms: (first, last) for first, last, day_ms in _dated(state["days"], DAY_MS)}
        return dates


def _distances(spans: Sequence[_Dated], step_ms: int) -> list[int]:
    flat: list[int] = []
    end = number = 0
    for first, last, begin_ms in spans:
        flat += (first - end, last - first, begin_ms // step_ms - number)
        end, number = last, begin_ms // step_ms
    return flat


def _dated(flat: Sequence[int], step_ms: int) -> Iterator[_Dated]:
    end = number = 0
    for index in range(0, len(flat), 3):
        first = end + flat[index]
        end = first + flat[index + 1]
        number += flat[index + 2]
        yield first, end, number * step_ms
