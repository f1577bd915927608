"""Ids, each assigned to one step of time, a minute or a day. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

from shared.trade_ids import EPOCH_SPAN

Dated = tuple[int, int, int]  # first id, last id, begin of the step in ms
IdRange = tuple[int, int]  # first and last id, both inclusive

_NO_ID: Final = -1


class DatedIds:
    """Sorted, disjoint ranges: every id lies in one step, so that no two steps count it.

    The earliest date of an id holds, whatever the order of arrival: missing ids are dated by the ids after
    them until they arrive. An undated id is dated likewise, within its numbering; if none after it is dated,
    by the one before it, until that changes.
    """

    def __init__(self, step_ms: int) -> None:
        self._step_ms = step_ms
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._begins: list[int] = []
        self._firsts_of: dict[int, set[int]] = {}  # of the ranges of each step

    @property
    def last(self) -> int:
        """The highest dated id; below 0 if there is none."""
        return self._lasts[-1] if self._lasts else _NO_ID

    @property
    def lowest_ms(self) -> int:
        """Begin of the step with the lowest id."""
        return self._begins[0]

    @property
    def newest_ms(self) -> int | None:
        """Begin of the step with the highest id."""
        return self._begins[-1] if self._begins else None

    @property
    def oldest_ms(self) -> int:
        """Begin of the earliest step."""
        return min(self._firsts_of)

    def step_count(self) -> int:
        return len(self._firsts_of)

    def range_count(self) -> int:
        return len(self._firsts)

    def __contains__(self, begin_ms: object) -> bool:
        """Whether an id is dated to the step."""
        return begin_ms in self._firsts_of

    def __iter__(self) -> Iterator[Dated]:
        return zip(list(self._firsts), list(self._lasts), list(self._begins), strict=True)

    def add(self, first: int, last: int, begin_ms: int) -> None:
        """Date the ids `first` to `last`; those that lie in an earlier step stay there."""
        if first == self.last + 1 and begin_ms == self.newest_ms:
            self._lasts[-1] = last  # as nearly always
            return
        # All ranges that overlap or touch them.
        left, right = bisect_left(self._lasts, first - 1), bisect_right(self._firsts, last + 1)
        pieces: list[Dated] = []
        at = first
        for index in range(left, right):
            old_first, old_last, old_ms = self._firsts[index], self._lasts[index], self._begins[index]
            if old_ms <= begin_ms:
                _join(pieces, at, old_first - 1, begin_ms)
                _join(pieces, old_first, old_last, old_ms)
                at = old_last + 1
            else:
                _join(pieces, old_first, min(old_last, first - 1), old_ms)
                if old_last > last:
                    _join(pieces, at, last, begin_ms)
                    _join(pieces, max(old_first, last + 1), old_last, old_ms)
                    at = old_last + 1
        _join(pieces, at, last, begin_ms)
        self._replace(left, right, pieces)

    def take(self, begin_ms: int) -> list[Dated]:
        """Remove a step and return its ranges."""
        taken = []
        for first in sorted(self._firsts_of[begin_ms]):
            index = bisect_left(self._firsts, first)
            taken.append((first, self._lasts[index], begin_ms))
            self._replace(index, index + 1, [])
        return taken

    def ids_of(self, begin_ms: int, above: int = _NO_ID, issued: IdRange | None = None) -> list[IdRange]:
        """The ids of a step, undated ones included.

        Args:
            above: undated ids up to this one are dated elsewhere.
            issued: undated ids before the first and after the last dated one are included, if they lie in it;
                if None, only those between.
        """
        indexes = (bisect_left(self._firsts, first) for first in self._firsts_of.get(begin_ms, ()))
        return [part for index in sorted(indexes) for part in self._parts(index, above, issued)]

    def steps_of(self, first: int, last: int, issued: IdRange | None = None) -> Iterator[int]:
        """Begins of the steps that hold some of these ids, as in `ids_of`; may repeat."""
        # The range before them has those that nobody after them has dated.
        for index in range(max(0, bisect_left(self._lasts, first) - 1), len(self._firsts)):
            low, high = self._reach(index, issued)
            if low > last:
                break
            if high >= first:
                yield self._begins[index]

    def spans(
        self, above: int = _NO_ID, issued: IdRange | None = None
    ) -> Iterator[tuple[int, int, int, int]]:
        """All ids as in `ids_of`: first, last, begin and end of their step."""
        for index, begin_ms in enumerate(self._begins):
            for first, last in self._parts(index, above, issued):
                yield first, last, begin_ms, begin_ms + self._step_ms

    def _parts(self, index: int, above: int, issued: IdRange | None) -> Iterator[IdRange]:
        """The ids that belong to a range, without the undated ones up to `above`."""
        first, last = self._firsts[index], self._lasts[index]
        low, high = self._reach(index, issued)
        low = max(low, min(above + 1, first))
        if above <= last:
            yield low, high
            return
        yield low, last
        if above < high:
            yield above + 1, high

    def _reach(self, index: int, issued: IdRange | None) -> IdRange:
        """The lowest and the highest id that belong to a range, undated ones included."""
        first, last = self._firsts[index], self._lasts[index]
        numbering = first - first % EPOCH_SPAN
        if index:
            low = max(self._lasts[index - 1] + 1, numbering)
        else:
            low = first if issued is None else min(first, issued[0])
        if issued is None:
            return low, last
        if index + 1 == len(self._firsts):
            return low, max(last, issued[1])
        after = self._firsts[index + 1]
        return low, max(last, after - after % EPOCH_SPAN - 1) if after >= numbering + EPOCH_SPAN else last

    def _replace(self, left: int, right: int, pieces: Sequence[Dated]) -> None:
        for first, begin_ms in zip(self._firsts[left:right], self._begins[left:right], strict=True):
            of_step = self._firsts_of[begin_ms]
            of_step.discard(first)
            if not of_step:
                del self._firsts_of[begin_ms]
        for first, _, begin_ms in pieces:
            self._firsts_of.setdefault(begin_ms, set()).add(first)
        self._firsts[left:right] = [first for first, _, _ in pieces]
        self._lasts[left:right] = [last for _, last, _ in pieces]
        self._begins[left:right] = [begin_ms for _, _, begin_ms in pieces]

    # -- snapshots -------------------------------------------------------------------------------------

    def distances(self) -> list[int]:
        """The ranges as distances, which are small integers."""
        flat: list[int] = []
        end = number = 0
        for first, last, begin_ms in self:
            flat += (first - end, last - first, begin_ms // self._step_ms - number)
            end, number = last, begin_ms // self._step_ms
        return flat

    @classmethod
    def of_distances(cls, flat: Sequence[int], step_ms: int) -> DatedIds:
        """Inverse of `distances`; also reads older snapshots, whose ranges overlapped."""
        ids = cls(step_ms)
        end = number = 0
        for index in range(0, len(flat), 3):
            first = end + flat[index]
            end = first + flat[index + 1]
            number += flat[index + 2]
            ids.add(first, end, number * step_ms)
        return ids


def _join(pieces: list[Dated], first: int, last: int, begin_ms: int) -> None:
    """Append a range, or extend the last one if it continues that."""
    if first > last:
        return
    if pieces and pieces[-1][1] + 1 == first and pieces[-1][2] == begin_ms:
        pieces[-1] = (pieces[-1][0], last, begin_ms)
    else:
        pieces.append((first, last, begin_ms))
