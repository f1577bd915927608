"""Partitions in memory, as taps read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from consumers.tap.records import RawRecord
from shared.kafka_reader import PartitionId


class FakePartitions:
    """A `PartitionReader` whose topics have one partition.

    Attributes:
        reads: spans that were read.
        low: first offset that is left, by topic.
    """

    def __init__(self) -> None:
        self._records: dict[str, list[tuple[bytes, bytes | None]]] = {}
        self.low: dict[str, int] = {}
        self.reads: list[tuple[str, int, int]] = []
        self.passed = 0, 0

    def add(self, topic: str, key: bytes, messages: Sequence[Any]) -> None:
        """Messages, or bytes as they are."""
        values = [one if isinstance(one, bytes) else orjson.dumps(one) for one in messages]
        self._records.setdefault(topic, []).extend((key, value) for value in values)

    def raw(self, topic: str) -> list[RawRecord]:
        """All records of a topic, of any key."""
        return [RawRecord(topic, 0, offset, value) for offset, (_, value) in enumerate(self._records[topic])]

    def keyed(self, topic: str) -> list[tuple[bytes, bytes | None]]:
        """Keys and values of all records."""
        return self._records.get(topic, [])

    def partition(self, topic: str, key: bytes) -> PartitionId:
        return topic, 0

    def bounds(self, at: PartitionId) -> tuple[int, int]:
        return self.low.get(at[0], 0), len(self._records.get(at[0], ()))

    def read(self, at: PartitionId, start: int, end: int, key: bytes) -> Iterator[RawRecord]:
        assert self.low.get(at[0], 0) <= start <= end
        self.reads.append((at[0], start, end))
        for offset, (of, value) in enumerate(self._records.get(at[0], ())):
            if start <= offset < end:
                self.passed = self.passed[0] + 1, self.passed[1] + len(value or b"")
                if of == key:
                    yield RawRecord(*at, offset, value)

    def close(self) -> None:
        """Nothing is open."""
