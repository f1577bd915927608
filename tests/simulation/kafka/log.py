"""The log of one partition: records, batches, leader epochs, compaction, retention, truncation."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from confluent_kafka import KafkaError

from tests.simulation.kafka.messages import At, Headers, Message

# A broker remembers so many batches of a producer, to recognise what it has already.
_REMEMBERED: Final = 5
# What Kafka adds to a record and to its batch, in bytes, roughly.
_RECORD_BYTES: Final = 10
BATCH_BYTES: Final = 61


class Entry(NamedTuple):
    """A record that a producer sends."""

    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def bytes(self) -> int:
        return _RECORD_BYTES + len(self.key or b"") + len(self.value or b"")


class Origin(NamedTuple):
    """Of an idempotent producer's batch: its id, and the sequence number of the first record."""

    producer: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What was appended at once; `offset` of the first record, `end` after the last one."""

    offset: int
    end: int
    epoch: int
    time_ms: int
    origin: Origin | None

    @property
    def last_sequence(self) -> int:
        return -1 if self.origin is None else self.origin.sequence + self.end - self.offset - 1


class Refused(Exception):
    """The broker's answer is this error code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Log:
    """Records of a partition in order; compaction leaves gaps in their offsets.

    Attributes:
        start: first offset that can be read. end: of the next record.
        epoch: of the present leader.
        waiting: called, and forgotten, when records come.
    """

    def __init__(self, at: At) -> None:
        self.at = at
        self.start = 0
        self.end = 0
        self.epoch = 0
        self.records: list[Message] = []
        self._offsets: list[int] = []  # of the records
        self._batches: list[Batch] = []
        self._producers: dict[int, list[Batch]] = {}
        self.waiting: dict[object, Callable[[], None]] = {}

    def append(self, entries: Sequence[Entry], now_ms: int, origin: Origin | None) -> Sequence[Message]:
        """The records as they are in the log; those of the first time, if the batch came again.

        Raises:
            Refused: the sequence does not continue what this producer wrote here.
        """
        if origin is not None:
            known = self._known(origin, len(entries))
            if known is not None:
                return self.read(known.offset, known.end - known.offset)
        base, at, epoch = self.end, self.at, self.epoch
        records = [
            Message(at, offset, entry[0], entry[1], entry[2], now_ms, epoch)
            for offset, entry in enumerate(entries, base)
        ]
        self.end = base + len(records)
        self.records += records
        self._offsets += range(base, self.end)
        batch = Batch(base, self.end, epoch, now_ms, origin)
        self._batches.append(batch)
        self._remember(batch)
        waiting, self.waiting = self.waiting, {}
        for call in waiting.values():
            call()
        return records

    def _known(self, origin: Origin, count: int) -> Batch | None:
        """The same batch, if it is here already."""
        batches = self._producers.get(origin.producer)
        if not batches:
            return None  # all its records are gone, or it is new: any sequence will do
        for batch in batches:
            assert batch.origin is not None
            if batch.origin.sequence == origin.sequence and batch.end - batch.offset == count:
                return batch
        if batches[-1].last_sequence + 1 != origin.sequence:
            raise Refused(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)
        return None

    def _remember(self, batch: Batch) -> None:
        if batch.origin is not None:
            batches = self._producers.setdefault(batch.origin.producer, [])
            batches.append(batch)
            del batches[:-_REMEMBERED]

    def read(self, offset: int, at_most: int) -> list[Message]:
        """Records from this offset on, or from the next one there is."""
        first = bisect_left(self._offsets, offset)
        return self.records[first : first + at_most]

    def lead(self) -> None:
        """A new leader, after the broker was away."""
        self.epoch += 1
        self.waiting.clear()

    def end_of(self, epoch: int) -> int:
        """Where the records of this leader epoch, and of all before it, end."""
        later = (batch.offset for batch in self._batches if batch.epoch > epoch)
        return next(later, self.end)

    def first_since(self, time_ms: int) -> int | None:
        """Offset of the first record taken at `time_ms` or later."""
        first = bisect_left(self.records, time_ms, key=lambda record: record.timestamp()[1])
        return self._offsets[first] if first < len(self.records) else None

    def first_within(self, bytes_: int) -> int:
        """Offset of the first of the newest records that together have at most so many bytes."""
        left = bytes_
        for record, offset in zip(reversed(self.records), reversed(self._offsets), strict=True):
            left -= _RECORD_BYTES + len(record.key() or b"") + len(record)
            if left < 0:
                return offset + 1
        return self.start

    # -- what a broker or a power cut does to it ---------------------------------------------------------

    def boundaries(self, since_ms: int) -> list[int]:
        """Offsets where batches taken at `since_ms` or later begin, and the end: a cut log ends at one."""
        first = bisect_left(self._batches, since_ms, key=lambda batch: batch.time_ms)
        return [batch.offset for batch in self._batches[first:] if batch.offset >= self.start] + [self.end]

    def truncate(self, end: int) -> None:
        """Lose everything from this boundary on."""
        first = bisect_left(self._offsets, end)
        del self.records[first:], self._offsets[first:]
        del self._batches[bisect_left(self._batches, end, key=lambda batch: batch.offset) :]
        self.end = end
        self._producers.clear()
        for batch in self._batches:
            self._remember(batch)

    def drop_before(self, offset: int) -> None:
        """Retention, or a request to delete: the log begins at `offset`."""
        self.start = max(self.start, min(offset, self.end))
        first = bisect_left(self._offsets, self.start)
        del self.records[:first], self._offsets[:first]

    def compact(self, before: int, tombstones_before_ms: int) -> None:
        """Keep the last record of each key, among all, of those before `before`.

        Args:
            tombstones_before_ms: records without a value that are older go too.
        """
        last = {record.key(): record.offset() for record in self.records}
        kept = [
            record
            for record, offset in zip(self.records, self._offsets, strict=True)
            if offset >= before
            or (
                record.key() is not None
                and last[record.key()] == offset
                and (record.value() is not None or record.timestamp()[1] >= tombstones_before_ms)
            )
        ]
        self.records = kept
        self._offsets = [record.offset() or 0 for record in kept]
