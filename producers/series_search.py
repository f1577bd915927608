"""Finds the newest true progress record of a series and what its topic holds after it (DESIGN §5.5). Pure.

A power cut removes the end of any partition, of the topic and of `pipeline.progress` independently, and new
records may have been written in its place; all before it is unchanged. So a progress record is true if its
topic still has that id at that offset; everything after it is read. If the newest record is not true, older
ones are tried; if none is, the topic is read backwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from producers.progress import Progress
from producers.start_positions import FoundRange, OpenHole, StartPosition, still_open

# Offsets read backwards. A million records take some ten seconds; a cut is seconds long.
_STEPS_BACK: Final = (10_000, 100_000, 1_000_000)
# The search begins so far before the end that a marker notes: a cut may have moved the end since.
_MARGIN: Final = 10_000
_MINUTE_MS: Final = 60_000


class Place(NamedTuple):
    """A series on its topic.

    Attributes:
        low, high: first offset that the broker still has, and offset of the next record.
        step: from an id to its neighbour: 1, or a bar's interval.
    """

    topic: str
    partition: int
    low: int
    high: int
    step: int


class Record(NamedTuple):
    """A record of a data topic; `repaired`: it may stand after later ones."""

    offset: int
    ident: int
    time_ms: int
    repaired: bool


class FoundIds:
    """Ids found on a topic, in any order, as ranges with the times of their ends (DESIGN §5.7).

    Memory grows with the holes and the minutes, not with the ids.

    Args:
        step: from an id to its neighbour: 1, or a bar's interval.
    """

    def __init__(self, step: int = 1) -> None:
        self._step = step
        # By the id that would continue them: the stream and a repair alternate.
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
            # The same ids again, as after a repetition: the longer range holds all of them.
            self._closed.append(min(crossed, grown, key=lambda found: found.last - found.first))
            grown = max(crossed, grown, key=lambda found: found.last - found.first)
        self._open[item + self._step] = grown

    def ranges(self) -> list[FoundRange]:
        """Sorted and disjoint; one range for each minute."""
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


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Read from `start`, to verify `progress`; None for a search backwards."""

    start: int
    progress: Progress | None


class SeriesSearch:
    """Finds the start position of one series, in rounds: each reads its topic from `start` to its end.

    Attributes:
        start: where to read from; None if nothing (more) has to be read.
        start_positions: the result; None for a series without records.
        progress: the record that was found true; None if none was.
        last: the last record of the series on its topic.
        beginning_lost: the series had records and not even the first is left, though the topic was read
            whole, or its bars begin later than it did: it begins somewhere before `start_positions`.

    Args:
        candidates: progress records of the series, the newest first.
    """

    def __init__(self, place: Place, candidates: Sequence[Progress]) -> None:
        self._place = place
        at = place.topic, place.partition
        self._candidates = [known for known in candidates if (known.topic, known.partition) == at]
        self._attempts = self._plan()
        self._attempt: _Attempt | None = None
        self._found = FoundIds(place.step)
        self._first: Record | None = None
        self._behind = 0
        self._true = False
        self.start_positions: StartPosition | None = None
        self.progress: Progress | None = None
        self.last: Record | None = None
        self.beginning_lost = False
        self._next()

    @property
    def start(self) -> int | None:
        return None if self._attempt is None else self._attempt.start

    @property
    def satisfied(self) -> bool:
        """Everything is read: the producer stopped orderly and its last records are found."""
        progress = None if self._attempt is None else self._attempt.progress
        return progress is not None and progress.stopped and self._true and self._behind >= progress.after

    def receive(self, record: Record) -> None:
        """Take a record of the series, in the order of its partition."""
        attempt = self._attempt
        if attempt is None or record.offset < attempt.start or self.satisfied:
            return
        progress = attempt.progress
        self.last = record
        if progress is not None and progress.last_id is not None and record.offset == progress.offset:
            self._true = record.ident == progress.last_id
            return
        self._behind += 1
        if self._first is None or (self._first.repaired and not record.repaired):
            self._first = record
        self._found.add(record.ident, record.time_ms)

    def conclude(self) -> bool:
        """The topic has been read to its end; whether the search is over."""
        attempt = self._attempt
        if attempt is None:
            return True
        if attempt.progress is not None:
            if not self._true:
                self._next()
                return self._attempt is None
            self.progress = attempt.progress
            self.start_positions = self._behind_progress(attempt.progress)
        else:
            first = self._first
            if first is None:
                self._next()
                return self._attempt is None
            self.start_positions = self._from_first(first)
        had_records = any(known.last_id is not None for known in self._candidates)
        proved = self.progress is not None and self.progress.last_id is not None
        whole = self._place.low == 0 and (attempt.start == 0 or attempt.progress is not None)
        self.beginning_lost = whole and not proved and (had_records or self._begins_late())
        self._attempt = None
        return True

    def _begins_late(self) -> bool:
        """Whether the first bar on the topic is later than the one that was open when the series began.

        A broker that lost bars takes later ones at their offsets. Trade ids tell no time.
        """
        marker, step = self.progress, self._place.step
        if marker is None or marker.event_time_ms is None or step == 1 or not self._found:
            return False
        return self._found.ranges()[0].first > marker.event_time_ms // step * step

    def _plan(self) -> Iterator[_Attempt]:
        low, high = self._place.low, self._place.high
        for number in _ever_wider(len(self._candidates)):
            progress = self._candidates[number]
            if progress.last_id is None:
                yield _Attempt(max(low, min(progress.offset, high) - _MARGIN), progress)
            elif progress.offset < high:
                yield _Attempt(max(low, progress.offset), progress)
        end = min((high, *(progress.offset for progress in self._candidates)))
        for step in _STEPS_BACK:
            if low == high:
                return
            start = max(low, end - step)
            yield _Attempt(start, None)
            if start == low:
                return

    def _next(self) -> None:
        self._attempt = next(self._attempts, None)
        self._found = FoundIds(self._place.step)
        self._first = self.last = None
        self._behind = 0
        progress = None if self._attempt is None else self._attempt.progress
        # A marker has no record to compare, nor has progress older than what the topic keeps.
        self._true = progress is not None and (progress.last_id is None or progress.offset < self._place.low)

    def _behind_progress(self, progress: Progress) -> StartPosition | None:
        last_id, found = progress.last_id, self._found
        if last_id is None:
            if not found:
                return None
            # The lowest id begins the series: a record of the stream may come before its repair.
            return self._position(found.ranges()[0].first - self._place.step, progress.missing)
        return self._position(last_id, progress.missing, progress.event_time_ms)

    def _from_first(self, first: Record) -> StartPosition:
        """No progress is true: everything before the first record found is assumed to be there."""
        last_id = first.ident - self._place.step
        noted = self._candidates[0].missing if self._candidates else ()
        return self._position(last_id, tuple(hole for hole in noted if hole.last <= last_id))

    def _position(self, last_id: int, holes: Sequence[OpenHole], time_ms: int | None = None) -> StartPosition:
        step, ranges = self._place.step, self._found.ranges()
        later = (
            found._replace(first=max(found.first, last_id + step)) for found in ranges if found.last > last_id
        )
        return StartPosition(last_id, still_open(holes, ranges, step), tuple(later), time_ms)


def _ever_wider(count: int) -> Iterator[int]:
    """Indices: the newest, then at growing distances, and always the oldest."""
    at = 0
    while at < count - 1:
        yield at
        at = max(at + 1, at * 2)
    if count:
        yield count - 1
