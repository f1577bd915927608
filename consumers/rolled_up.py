"""What an account of the ledger knows only by counts, so that its memory is bounded. Pure.

What is settled is rolled up first, what is missing last; each step only if those before it left too much:

1. Sets that decide nothing (`repaired`, `duplicates`): their older half is counted.
2. Whether ids are stored, halted or offline: the older half is counted, and only that they are one of these
   is kept, which is one range where nothing is missing.
3. All ids of the older half but the missing ones.
4. The older of the missing ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from shared.id_ranges import IdRanges

_INT64_MIN: Final = -(2**63)
NOTED: Final = ("repaired", "duplicates")
REASONS: Final = ("stored", "halted", "offline")
COUNTED: Final = ("expected", "stored", "repaired", "halted", "offline", "lost", "duplicates")
# Of all ranges: a set below this share is not worth a loss of its detail.
_SHARE: Final = 4

Sets = Mapping[str, IdRanges]  # of an account, by name; all but `settled`


class RolledUp:
    """Counts in place of ranges.

    Attributes:
        counts: ids by set (`COUNTED`) that are no longer in it.
        floor: ids below it are in the sets only if they were missing when it rose.
        noted_from: by set of `NOTED`: ids below it are in the set only if they were missing then,
        noted_to: and ids below this not at all.
        settled: ids that are stored, halted or offline, but no longer by which of them.
        excused: at most so many of `settled` are not stored.
    """

    def __init__(self) -> None:
        self.counts = dict.fromkeys(COUNTED, 0)
        self.floor = _INT64_MIN
        self.noted_from = dict.fromkeys(NOTED, _INT64_MIN)
        self.noted_to = dict.fromkeys(NOTED, _INT64_MIN)
        self.settled = IdRanges()
        self.excused = 0

    @property
    def floored(self) -> bool:
        """Whether there are ids of which nothing but their number is known."""
        return self.floor != _INT64_MIN

    def __bool__(self) -> bool:
        """Whether anything is rolled up."""
        return self.floored or any(self.counts.values())

    def bound(self, sets: Sets, most: int) -> None:
        """Roll up until the sets and `settled` have at most `most` ranges together, if they can."""
        while (before := self.ranges(sets)) > most:
            self._roll_up(sets, most)
            if self.ranges(sets) >= before:
                return

    def _roll_up(self, sets: Sets, most: int) -> None:
        enough = most * 7 // 8
        self._count_noted(sets, most)
        if self.ranges(sets) > enough:
            self._count_reasons(sets)
        if self.ranges(sets) > enough:
            self._count_older_half(sets, most // _SHARE)
        if self.ranges(sets) > enough:
            self._count_older_half(sets, 0)

    def ranges(self, sets: Sets) -> int:
        """Number of ranges in all of them, on which memory depends."""
        return self.settled.range_count() + sum(map(IdRanges.range_count, sets.values()))

    def _count_noted(self, sets: Sets, most: int) -> None:
        name = max(NOTED, key=lambda of: sets[of].range_count())
        ids = sets[name]
        if ids.range_count() * _SHARE <= most:
            return
        middle = _middle(ids)
        self.noted_from[name] = max(self.noted_from[name], middle)
        self.counts[name] += _cut(ids, middle, _missing(sets, middle))
        if ids.range_count() * _SHARE > most:
            # Nearly all of them are still missing.
            self.noted_to[name] = max(self.noted_to[name], _middle(ids))
            self.counts[name] += _cut(ids, self.noted_to[name], IdRanges())

    def _count_reasons(self, sets: Sets) -> None:
        reasons = [sets[name] for name in REASONS]
        largest = max(reasons, key=IdRanges.range_count)
        if not largest:
            return
        middle = _middle(largest)
        below = [_below(ids, middle) for ids in reasons]
        joined = IdRanges(below[0])
        excused = IdRanges(below[1])
        excused.update(below[2])
        joined.update(excused)
        if 2 * joined.range_count() > sum(map(IdRanges.range_count, below)):
            return  # missing ids lie between them: as many ranges would be left
        self.settled.update(joined)
        self.excused += excused.id_count()
        for name, ids in zip(REASONS, reasons, strict=True):
            self.counts[name] += _cut(ids, middle, IdRanges())

    def _count_older_half(self, sets: Sets, kept_ranges: int) -> None:
        """Count all ids below the middle of the largest set, but keep the newest ranges of missing ones."""
        middle = _middle(max((*sets.values(), self.settled), key=IdRanges.range_count))
        if kept_ranges:
            middle = max(middle, self.floor)
        missing = _missing(sets, middle)
        kept = IdRanges(list(missing)[-kept_ranges:] if kept_ranges else ())
        self.counts["lost"] += missing.id_count() - kept.id_count()
        self._count_below(sets, middle, kept)
        self.floor = max(self.floor, middle)

    def _count_below(self, sets: Sets, end: int, kept: IdRanges) -> None:
        for name, ids in sets.items():
            gone = _cut(ids, end, kept)
            if name in self.counts:
                self.counts[name] += gone
        _cut(self.settled, end, kept)

    def reopen(self, expected: IdRanges, first: int, last: int) -> None:
        """Take ids back of which something is missing after all, since no loss may go unnoticed: they are
        expected by id again, and how they were settled stays counted."""
        counted = IdRanges([(first, min(last, self.floor - 1))] if first < self.floor else ())
        counted = counted.difference(IdRanges(expected.within(first, last)))
        self.counts["expected"] -= counted.id_count()
        expected.update(counted)
        self.settled.update(counted)

    def only_counted(self, expected: IdRanges) -> IdRanges:
        """Ids of which it is not known by id whether they are stored; perhaps some that never were."""
        ids = IdRanges([(0, self.floor - 1)] if self.floor > 0 else ())
        for first, last in expected.within(0, self.floor - 1):
            ids.remove(first, last)
        ids.update(self.settled)
        return ids

    # -- accounts of two partitions --------------------------------------------------------------------

    def add(self, other: RolledUp, sets: Sets) -> None:
        """Add what another account of the series has only counted, unless it is the same; `cut` must follow.

        Args:
            sets: of both accounts together.
        """
        if self.state() == other.state():
            return
        for name in COUNTED:
            self.counts[name] += other.counts[name]
        # Ids that both have settled are settled once. As stored ones rather than others: these may have been
        # stored since they were counted.
        twice = sum(self.settled.intersection_count(*part) for part in other.settled)
        for name in REASONS:
            once = min(twice, self.counts[name])
            self.counts[name] -= once
            twice -= once
        self.settled.update(other.settled)
        self.excused += other.excused
        for name in REASONS:
            for first, last in self.settled:
                sets[name].remove(first, last)
        self.floor = max(self.floor, other.floor)
        for name in NOTED:
            self.noted_from[name] = max(self.noted_from[name], other.noted_from[name])
            self.noted_to[name] = max(self.noted_to[name], other.noted_to[name])

    def cut(self, sets: Sets) -> None:
        """Count what the limits leave of these sets only as a number: all but what is missing."""
        for name in NOTED:
            end = self.noted_from[name]
            self.counts[name] += _cut(sets[name], end, _missing(sets, end))
            self.counts[name] += _cut(sets[name], self.noted_to[name], IdRanges())
        self._count_below(sets, self.floor, _missing(sets, self.floor))

    # -- snapshots -------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """The state as JSON values: "floor" and "settled" as in the snapshots of all versions."""
        return {
            "floor": self.floor,
            "settled": list(self.counts.values()),
            "noted_from": self.noted_from,
            "noted_to": self.noted_to,
            "settled_ids": self.settled.distances(),
            "excused": self.excused,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> RolledUp:
        """Inverse of `state`; earlier versions had one floor for all sets."""
        rolled = cls()
        rolled.counts = dict(zip(COUNTED, map(int, state["settled"]), strict=True))
        rolled.floor = int(state["floor"])
        if "noted_from" in state:
            rolled.noted_from = {name: int(state["noted_from"][name]) for name in NOTED}
            rolled.noted_to = {name: int(state["noted_to"][name]) for name in NOTED}
        rolled.settled = IdRanges.of_distances(state.get("settled_ids", ()))
        rolled.excused = int(state.get("excused", 0))
        return rolled


def _middle(ids: IdRanges) -> int:
    """The first id of the range in the middle."""
    return list(ids)[ids.range_count() // 2][0]


def _below(ids: IdRanges, end: int) -> IdRanges:
    return IdRanges(ids.within(_INT64_MIN, end - 1))


def _missing(sets: Sets, end: int) -> IdRanges:
    """Ids below `end` that are expected and that nothing accounts for."""
    return _below(sets["expected"], end).difference(_below(sets["_accounted"], end))


def _cut(ids: IdRanges, end: int, kept: IdRanges) -> int:
    """Remove the ids below `end` but the kept ones; how many were removed."""
    before = ids.id_count()
    stay = [part for first, last in kept for part in ids.within(first, last)]
    ids.remove(_INT64_MIN, end - 1)
    ids.update(IdRanges(stay))
    return before - ids.id_count()
