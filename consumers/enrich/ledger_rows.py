"""Which rows of the ledger are due to be written. Pure.

`expected` and `stored` of the same ids arrive within a second or two of each other: a row waits until its
period had no change for a while, so that ids in flight are not reported lost; but not for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries

QUIET_MS: Final = 5_000
LONGEST_WAIT_MS: Final = 60_000
# Rows written at a time: a fill of a month changes 43,200 rows a series.
ROWS_AT_A_TIME: Final = 2_000
# Larger changes are fills, or many events read again, and wait as ranges.
_FEW: Final = 3
_MOST_SINGLE: Final = 1_000


@dataclass(slots=True)
class _Waiting:
    """Changed periods of a series, with their first and last change by the caller's clock."""

    single: dict[int, tuple[int, int]] = field(default_factory=dict)
    many: IdRanges = field(default_factory=IdRanges)
    many_first_ms: int = 0
    many_last_ms: int = 0


class LedgerRows:
    """Changed periods by series. Memory grows with the changes of a minute, and with holes."""

    def __init__(self) -> None:
        self._waiting: dict[LedgerSeries, _Waiting] = {}

    def changed(self, series: LedgerSeries, periods: IdRanges, now_ms: int) -> None:
        waiting = self._waiting.setdefault(series, _Waiting())
        if periods.id_count() <= _FEW and len(waiting.single) < _MOST_SINGLE:
            for first, last in periods:
                for period in range(first, last + 1):
                    first_ms, _ = waiting.single.get(period, (now_ms, now_ms))
                    waiting.single[period] = (first_ms, now_ms)
            return
        if not waiting.many:
            waiting.many_first_ms = now_ms
        waiting.many.update(periods)
        waiting.many_last_ms = now_ms

    def take_due(self, now_ms: int | None) -> Iterator[tuple[LedgerSeries, list[int]]]:
        """Periods whose rows are due, some at a time; all of them if `now_ms` is None."""
        room = ROWS_AT_A_TIME
        for series, waiting in list(self._waiting.items()):
            due = [
                period
                for period, (first_ms, last_ms) in waiting.single.items()
                if now_ms is None or _is_due(first_ms, last_ms, now_ms)
            ]
            for period in due:
                del waiting.single[period]
            if now_ms is None or _is_due(waiting.many_first_ms, waiting.many_last_ms, now_ms):
                for first, last in waiting.many:
                    end = last if now_ms is None else min(last, first + room - 1)
                    if end < first:
                        break
                    due += range(first, end + 1)
                    room -= end - first + 1
                    waiting.many.remove(first, end)
            if due:
                yield series, due
            if not waiting.single and not waiting.many:
                del self._waiting[series]

    def waiting(self, series: LedgerSeries) -> IdRanges:
        """All changed periods of a series."""
        found = self._waiting.get(series)
        if found is None:
            return IdRanges()
        periods = IdRanges(found.many)
        periods.update(IdRanges((period, period) for period in found.single))
        return periods

    def forget(self, series: LedgerSeries) -> None:
        self._waiting.pop(series, None)


def _is_due(first_ms: int, last_ms: int, now_ms: int) -> bool:
    return now_ms - last_ms >= QUIET_MS or now_ms - first_ms >= LONGEST_WAIT_MS
