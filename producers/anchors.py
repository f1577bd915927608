"""Which progress of a series is true, and what its topic holds behind it (DESIGN §5.5). Pure.

A power cut takes the end of any partition, of the topic and of `pipeline.progress` each for itself, and new
records may have been written in its place. What is left is the beginning as it was. So a record of progress
is true if its topic still has the very id at the very offset; then all before is as it was, and all behind is
read. If the newest is not true an older one is tried; where none is, the topic is read backwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from producers.bearings import OpenHole, SeriesBearings, still_open
from producers.found_ids import FoundIds
from producers.progress import Progress

# Read backwards in such steps. A million records take some ten seconds; a cut is seconds long.
_STEPS_BACK: Final = (10_000, 100_000, 1_000_000)
# So far before the end that a marker noted does its search begin: a cut may have moved the end since.
_MARGIN: Final = 10_000


class Place(NamedTuple):
    """A series on its topic.

    Attributes:
        low, high: first offset that the broker still has, and that of the next record to come.
        step: from an id to its neighbour: 1, or a bar's interval.
    """

    topic: str
    partition: int
    low: int
    high: int
    step: int


class Record(NamedTuple):
    """What a record says of itself; `repaired`: it may be behind later ones."""

    offset: int
    ident: int
    time_ms: int
    repaired: bool


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Read from `start`. `progress` is to be found true, None for a search backwards."""

    start: int
    progress: Progress | None


class SeriesSearch:
    """Finds where one series stands, in rounds: each reads its topic from `start` to its end.

    Attributes:
        start: where to read from; None if nothing has to be read (any more).
        bearings: the outcome; None for a series of which nothing is there.
        progress: the record that was found true; None if none was.
        last: the last record of the series that its topic has, in the order of the topic.
        beheaded: the series had records of which not even the first is left, though the topic was read whole:
            it begins somewhere before `bearings`.

    Args:
        candidates: records of progress of the series, the newest first.
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
        self.bearings: SeriesBearings | None = None
        self.progress: Progress | None = None
        self.last: Record | None = None
        self.beheaded = False
        self._next()

    @property
    def start(self) -> int | None:
        return None if self._attempt is None else self._attempt.start

    @property
    def satisfied(self) -> bool:
        """Nothing of the series lies further on: its producer ended in good order, and all that is read."""
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
        """The topic is read to its end; whether the search is over."""
        attempt = self._attempt
        if attempt is None:
            return True
        if attempt.progress is not None:
            if not self._true:
                self._next()
                return self._attempt is None
            self.progress = attempt.progress
            self.bearings = self._behind_progress(attempt.progress)
        else:
            first = self._first
            if first is None:
                self._next()
                return self._attempt is None
            self.bearings = self._from_first(first)
        had_records = any(known.last_id is not None for known in self._candidates)
        proved = self.progress is not None and self.progress.last_id is not None
        whole = self._place.low == 0 and (attempt.start == 0 or attempt.progress is not None)
        self.beheaded = had_records and not proved and whole
        self._attempt = None
        return True

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
        # Before the first record there is nothing to compare; nor where it is older than the topic keeps.
        self._true = progress is not None and (progress.last_id is None or progress.offset < self._place.low)

    def _behind_progress(self, progress: Progress) -> SeriesBearings | None:
        last_id, found = progress.last_id, self._found
        if last_id is None:
            if not found:
                return None
            # The lowest of the series is where it begins: one of the stream may come before its repair.
            return self._standing(found.ranges()[0].first - self._place.step, progress.missing)
        return self._standing(last_id, progress.missing, progress.event_time_ms)

    def _from_first(self, first: Record) -> SeriesBearings:
        """No progress is true: all before the first record that is found is taken to be there."""
        last_id = first.ident - self._place.step
        noted = self._candidates[0].missing if self._candidates else ()
        return self._standing(last_id, tuple(hole for hole in noted if hole.last <= last_id))

    def _standing(
        self, last_id: int, holes: Sequence[OpenHole], time_ms: int | None = None
    ) -> SeriesBearings:
        step, ranges = self._place.step, self._found.ranges()
        later = (
            found._replace(first=max(found.first, last_id + step)) for found in ranges if found.last > last_id
        )
        return SeriesBearings(last_id, still_open(holes, ranges, step), tuple(later), time_ms)


def _ever_wider(count: int) -> Iterator[int]:
    """The newest one by one, then ever wider apart, the oldest for certain."""
    at = 0
    while at < count - 1:
        yield at
        at = max(at + 1, at * 2)
    if count:
        yield count - 1
