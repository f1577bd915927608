"""Spans in which a symbol is in BREAK: no trades, no bars, no diffs (BINANCE_SPOT.md §9, §10)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from simulator.world.hashing import Int64s
from simulator.world.price_path import MINUTE_MS, SLOT_MS


class Halts:
    """The halts of one market. Spans are extended to whole 100 ms, the book's step, and joined.

    Args:
        spans: (first ms, first ms after it), in any order.
    """

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []
        for begin, end in sorted(spans):
            begin_ms = begin - begin % SLOT_MS
            end_ms = -(-end // SLOT_MS) * SLOT_MS
            if self._ends and begin_ms <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end_ms)
            else:
                self._begins.append(begin_ms)
                self._ends.append(end_ms)

    def with_span(self, begin_ms: int, end_ms: int) -> Halts:
        """These and one more."""
        return Halts((*zip(self._begins, self._ends, strict=True), (begin_ms, end_ms)))

    def __bool__(self) -> bool:
        return bool(self._begins)

    def end_of(self, time_ms: int) -> int | None:
        """End of the halt that covers a time; None if there is none."""
        index = bisect_right(self._begins, time_ms) - 1
        return self._ends[index] if index >= 0 and time_ms < self._ends[index] else None

    def next_change(self, after_ms: int) -> int | None:
        """The next begin or end of a halt after a time; None if there is none."""
        later = [edge for edge in (*self._begins, *self._ends) if edge > after_ms]
        return min(later, default=None)

    def cover(self, from_ms: int, until_ms: int) -> bool:
        """Whether there is no trading at all from a time up to another one (exclusive)."""
        end_ms = self.end_of(from_ms)
        return end_ms is not None and until_ms <= end_ms

    def covered_bars(self, from_ms: int, length_ms: int) -> int:
        """Upper bound of covered bars of a length that open at `from_ms` or later, future halts included."""
        return sum(
            max(0, end - max(begin, from_ms)) // length_ms
            for begin, end in zip(self._begins, self._ends, strict=True)
        )

    def live_slot(self, slot: int) -> int:
        """The newest slot up to this one that the book has shown: in a halt it does not change."""
        published_ms = (slot + 1) * SLOT_MS
        index = bisect_right(self._begins, published_ms) - 1
        if index < 0 or published_ms >= self._ends[index]:
            return slot
        return self._begins[index] // SLOT_MS - 2

    def touches_minute(self, minute: int) -> bool:
        index = bisect_right(self._begins, (minute + 1) * MINUTE_MS - 1) - 1
        return index >= 0 and minute * MINUTE_MS < self._ends[index]

    def live(self, times_ms: Int64s) -> NDArray[np.bool_]:
        """Which times lie outside of all halts."""
        index = np.searchsorted(np.asarray(self._begins, dtype=np.int64), times_ms, side="right") - 1
        ends = np.asarray(self._ends, dtype=np.int64)
        return (index < 0) | (times_ms >= ends[index])
