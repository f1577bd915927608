"""Which rows of the ledger wait to be written. Pure.

`expected` and `stored` of the same ids come within a second or two of each other: a row waits until its
minute has been quiet for a while, so that what is on its way is not reported lost; but not for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from consumers.ledger_events import LedgerSeries
from shared.id_ranges import IdRanges

QUIET_MS: Final = 5_000
LONGEST_WAIT_MS: Final = 60_000
# A batch of points at a time: a fill of a month changes 43,200 rows a series.
ROWS_AT_A_TIME: Final = 2_000
# More changed at once than this is a fill, or many events read again, and waits as ranges.
_FEW: Final = 3
_MOST_SINGLE: Final = 1_000


@dataclass(slots=True)
class _Waiting:
    """Slots of a series, with their first and last change by the caller's clock."""

    single: dict[int, tuple[int, int]] = field(default_factory=dict)
    many: IdRanges = field(default_factory=IdRanges)
    many_first_ms: int = 0
    many_last_ms: int = 0


class LedgerRows:
    """Slots (`slot_ms`) by series. Memory grows with the changes of a minute, and with holes."""

    def __init__(self) -> None:
        self._waiting: dict[LedgerSeries, _Waiting] = {}

    def changed(self, series: LedgerSeries, slots: IdRanges, now_ms: int) -> None:
        waiting = self._waiting.setdefault(series, _Waiting())
        if slots.id_count() <= _FEW and len(waiting.single) < _MOST_SINGLE:
            for first, last in slots:
                for slot in range(first, last + 1):
                    first_ms, _ = waiting.single.get(slot, (now_ms, now_ms))
                    waiting.single[slot] = (first_ms, now_ms)
            return
        if not waiting.many:
            waiting.many_first_ms = now_ms
        waiting.many.update(slots)
        waiting.many_last_ms = now_ms

    def take_due(self, now_ms: int | None) -> Iterator[tuple[LedgerSeries, list[int]]]:
        """Slots whose rows are to be written now, some at a time; all of them with None for the time."""
        room = ROWS_AT_A_TIME
        for series, waiting in list(self._waiting.items()):
            due = [
                slot
                for slot, (first_ms, last_ms) in waiting.single.items()
                if now_ms is None or _is_due(first_ms, last_ms, now_ms)
            ]
            for slot in due:
                del waiting.single[slot]
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
        """All slots of a series that wait."""
        found = self._waiting.get(series)
        if found is None:
            return IdRanges()
        slots = IdRanges(found.many)
        slots.update(IdRanges((slot, slot) for slot in found.single))
        return slots

    def forget(self, series: LedgerSeries) -> None:
        self._waiting.pop(series, None)


def _is_due(first_ms: int, last_ms: int, now_ms: int) -> bool:
    return now_ms - last_ms >= QUIET_MS or now_ms - first_ms >= LONGEST_WAIT_MS
