"""The topic of dead letters and the notes of what was replayed: reading."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from cryptostream.dead_letters.letter import Choice, Letter, Place
from cryptostream.dead_letters.notes import decode_note, partition_of_note
from cryptostream.progress_line import ProgressLine
from cryptostream.topic_reader import TopicReader
from shared.errors import UsageError
from shared.id_ranges import IdRanges
from shared.topics import DEAD_LETTERS, PROGRESS


class LetterBox:
    """Reads; what it has read is as old as its making.

    Attributes:
        first_readable: by partition, the offset of its oldest letter.
    """

    def __init__(self, topics: TopicReader) -> None:
        """Raises BrokerError, BrokerUnavailable."""
        self._topics = topics
        self._bounds = {number: ends for (_, number), ends in topics.bounds(DEAD_LETTERS).items()}
        self.first_readable = {number: low for number, (low, _) in self._bounds.items()}

    def replayed(self) -> dict[int, IdRanges]:
        """Offsets of the letters that were replayed, by partition."""
        found: dict[int, IdRanges] = {}
        starts = {place: low for place, (low, _) in self._topics.bounds(PROGRESS).items()}
        for message in self._topics.to_end(starts):
            key, value = message.key(), message.value()
            partition = partition_of_note(key.encode() if isinstance(key, str) else key)
            if partition is not None and value is not None:
                found[partition] = decode_note(value)
        return found

    def letters(self, choice: Choice) -> Iterator[Letter]:
        """Those chosen, in the order of their partitions."""
        starts = {(DEAD_LETTERS, number): low for number, low in self.first_readable.items()}
        if choice.from_ms is not None:
            starts = self._topics.offsets_at(DEAD_LETTERS, choice.from_ms)
        return self._read(starts, choice)

    def newest(self, count: int, choice: Choice) -> list[Letter]:
        """The newest of those chosen, the oldest of them first."""
        if choice.picky:
            letters: Iterable[Letter] = self.letters(choice)
        else:
            # Each partition's newest are enough, whatever lies before them.
            starts = {
                (DEAD_LETTERS, number): max(low, high - count) for number, (low, high) in self._bounds.items()
            }
            letters = self._read(starts, choice)
        return sorted(heapq.nlargest(count, letters, key=_age), key=_age)

    def at(self, places: Iterable[Place]) -> list[Letter]:
        """The letters that lie there.

        Raises:
            UsageError: there is none at one of them.
        """
        found = []
        for place in sorted(set(places)):
            low, high = self._bounds.get(place.partition, (0, 0))
            letter = None
            if low <= place.offset < high:
                records = self._topics.to_end({(DEAD_LETTERS, place.partition): place.offset})
                letter = Letter.of(next(records))
            if letter is None or letter.place != place:
                raise UsageError(f"{place}: there is no such letter; see `cryptostream dead-letters list`")
            found.append(letter)
        return found

    def _read(self, starts: dict[tuple[str, int], int], choice: Choice) -> Iterator[Letter]:
        total = sum(self._bounds[number][1] - offset for (_, number), offset in starts.items())
        with ProgressLine(f"reading {DEAD_LETTERS}", "letters", total) as line:
            for message in self._topics.to_end(starts):
                line.advance()
                letter = Letter.of(message)
                # What a replay brings back as new letters is not for the same replay.
                before = letter.place.offset < self._bounds[letter.place.partition][1]
                if before and choice.holds(letter):
                    yield letter


def _age(letter: Letter) -> tuple[int, Place]:
    return letter.time_ms, letter.place
