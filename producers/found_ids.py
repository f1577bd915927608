"""Ids found on a topic, kept as ranges with the times of their ends (DESIGN §5.7). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

_MINUTE_MS: Final = 60_000


class FoundRange(NamedTuple):
    """Neighbouring ids of one minute, both ends inclusive, with the event times of the ends."""

    first: int
    last: int
    first_ms: int
    last_ms: int


class FoundIds:
    """Takes ids one by one, in any order; memory grows with the holes and the minutes, not with the ids.

    Args:
        step: from an id to its neighbour: 1, or a bar's interval.
    """

    def __init__(self, step: int = 1) -> None:
        self._step = step
        # By the id that would continue them: the stream and a repair of it go on in turns.
        self._open: dict[int, FoundRange] = {}
        self._closed: list[FoundRange] = []

    def add(self, item: int, time_ms: int) -> None:
        found = self._open.pop(item, None)
        if found is not None and found.first_ms // _MINUTE_MS == time_ms // _MINUTE_MS:
            grown = FoundRange(found.first, item, found.first_ms, time_ms)
        else:
            if found is not None:
                self._closed.append(found)
            grown = FoundRange(item, item, time_ms, time_ms)
        crossed = self._open.get(item + self._step)
        if crossed is not None:
            # The same ids again, as after a repetition: the longer range says it all.
            self._closed.append(min(crossed, grown, key=lambda found: found.last - found.first))
            grown = max(crossed, grown, key=lambda found: found.last - found.first)
        self._open[item + self._step] = grown

    def ranges(self) -> list[FoundRange]:
        """Sorted and disjoint; a range of several minutes is several."""
        return _disjoint(sorted((*self._closed, *self._open.values())), self._step)

    def __bool__(self) -> bool:
        return bool(self._open)


def _disjoint(found: Iterable[FoundRange], step: int) -> list[FoundRange]:
    result: list[FoundRange] = []
    for each in found:
        before = result[-1] if result else None
        if before is None or each.first > before.last:
            result.append(each)
        elif each.last > before.last:
            result.append(each._replace(first=before.last + step))
    return result
