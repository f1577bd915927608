"""Sets of integers as sorted, disjoint, inclusive ranges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence


class IdRanges:
    """A set of ids, stored as ranges. Adding a range twice changes nothing.

    Memory grows with the number of holes, not with the number of ids. Kline series use ids
    `open_time_ms // interval_ms`, so that neighbouring bars have neighbouring ids.
    """

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Add the ids `first` to `last`, both inclusive."""
        if first > last:
            raise ValueError(f"range {first}–{last} ends before it begins")
        # All ranges that overlap or touch [first, last] become one.
        left = bisect_left(self._lasts, first - 1)
        right = bisect_right(self._firsts, last + 1)
        if left < right:
            first = min(first, self._firsts[left])
            last = max(last, self._lasts[right - 1])
        self._firsts[left:right] = [first]
        self._lasts[left:right] = [last]

    def remove(self, first: int, last: int) -> None:
        """Remove the ids `first` to `last`, both inclusive, where present."""
        left = bisect_left(self._lasts, first)
        right = bisect_right(self._firsts, last)
        if left >= right:
            return
        kept = [
            (f, e) for f, e in ((self._firsts[left], first - 1), (last + 1, self._lasts[right - 1])) if f <= e
        ]
        self._firsts[left:right] = [f for f, _ in kept]
        self._lasts[left:right] = [e for _, e in kept]

    def update(self, other: IdRanges) -> None:
        for first, last in other:
            self.add(first, last)

    def intersection_count(self, first: int, last: int) -> int:
        """How many ids of the set lie in `first` to `last`, both inclusive."""
        count = 0
        for index in range(bisect_left(self._lasts, first), len(self._firsts)):
            if self._firsts[index] > last:
                break
            count += min(last, self._lasts[index]) - max(first, self._firsts[index]) + 1
        return count

    def within(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The ranges of the set, cut to `first` to `last`, both inclusive."""
        for index in range(bisect_left(self._lasts, first), len(self._firsts)):
            if self._firsts[index] > last:
                break
            yield max(first, self._firsts[index]), min(last, self._lasts[index])

    @property
    def last(self) -> int | None:
        """The highest id; None if there is none."""
        return self._lasts[-1] if self._lasts else None

    def range_count(self) -> int:
        """Number of ranges, on which memory and iteration depend."""
        return len(self._firsts)

    def difference(self, other: IdRanges) -> IdRanges:
        """The ids of this set that are not in `other`."""
        result = IdRanges(self)
        for first, last in other:
            result.remove(first, last)
        return result

    def distances(self) -> list[int]:
        """The set as mostly small integers: per range its distance from the one before, and its length less
        one."""
        flat: list[int] = []
        end = 0
        for first, last in zip(self._firsts, self._lasts, strict=True):
            flat += (first - end, last - first)
            end = last
        return flat

    @classmethod
    def of_distances(cls, flat: Sequence[int]) -> IdRanges:
        """Inverse of `distances`. Raises ValueError for other integers."""
        ids = cls()
        end: int | None = None
        for index in range(0, len(flat), 2):
            first = (end or 0) + flat[index]
            if flat[index + 1] < 0 or (end is not None and first <= end):
                raise ValueError(f"ranges at {index} are not in order")
            end = first + flat[index + 1]
            ids._firsts.append(first)
            ids._lasts.append(end)
        return ids

    def __contains__(self, item: int) -> bool:
        index = bisect_left(self._lasts, item)
        return index < len(self._firsts) and self._firsts[index] <= item

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self._firsts, self._lasts, strict=True)))

    def id_count(self) -> int:
        """Number of ids. Not `__len__`: iteration yields ranges, but `list` would allocate by ids."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IdRanges):
            return NotImplemented
        return self._firsts == other._firsts and self._lasts == other._lasts

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"IdRanges({list(self)})"
