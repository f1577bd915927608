"""Reading a partition's past: all records of one key, a bounded number back from the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from consumers.tap.records import RawRecord
from shared.kafka_reader import PartitionId

# A fill reads no more than this from a partition.
MAX_RECORDS: Final = 50_000
MAX_BYTES: Final = 24 * 2**20
# A partition holds several keys: most fills of a quiet market end with the first step.
FIRST_STEP: Final = 2_000
_GROWTH: Final = 3


class PartitionReader(Protocol):
    """Reads partitions, one at a time, outside of any group.

    Attributes:
        passed: records of any key that were read so far, and their bytes.
    """

    passed: tuple[int, int]

    def partition(self, topic: str, key: bytes) -> PartitionId:
        """Where a key's records are."""

    def bounds(self, at: PartitionId) -> tuple[int, int]:
        """First offset that can be read, and that of the next record to come.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """

    def read(self, at: PartitionId, start: int, end: int, key: bytes) -> Iterator[RawRecord]:
        """Records of a key from `start` on, before `end`, which is not after the partition's end.

        Raises:
            BrokerUnavailable: the broker does not deliver them.
        """

    def close(self) -> None:
        """Release the connection."""


def newest(
    reader: PartitionReader,
    at: PartitionId,
    span: tuple[int, int],
    key: bytes,
    enough: Callable[[Sequence[RawRecord]], bool],
) -> tuple[list[RawRecord], int]:
    """The newest records of a key, read back in growing steps until they are enough, or at a bound.

    Args:
        span: offsets to read within, [low, end).

    Returns:
        The records, and the offset from which on these are all.
    """
    low, end = span
    records: list[RawRecord] = []
    began, began_bytes = reader.passed
    start, step = end, FIRST_STEP
    while start > low and not enough(records):
        read, read_bytes = reader.passed[0] - began, reader.passed[1] - began_bytes
        room = MAX_RECORDS - read
        if read:
            room = min(room, (MAX_BYTES - read_bytes) * read // max(read_bytes, 1))
        if room <= 0:
            break
        earlier = max(low, start - min(step, room))
        records = [*reader.read(at, earlier, start, key), *records]
        start, step = earlier, step * _GROWTH
    return records, start
