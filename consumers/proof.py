"""Checks whether partitions still hold the records that their marks name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from confluent_kafka import Consumer

from consumers.marks import Mark, Spot, Trail, crc_of_record
from shared.kafka_reader import PartitionId, records_at

# A record by its topic, partition and offset.
Address = tuple[str, int, int]
Bounds = Callable[[str, int], tuple[int, int]]

_TIMEOUT_S: Final = 30.0
# A loss is noticed within a second or two of the broker's return, and a mark made a second.
_TOGETHER: Final = 3


class Prover:
    """Checks marks of a topic's partitions.

    Args:
        bounds: first offset of a partition, and that of the next record to come.
        state_topic, ledger_topic: have the source's partition numbers; None if there is none.
    """

    def __init__(
        self,
        reader: Consumer,
        bounds: Bounds,
        topic: str,
        *,
        state_topic: str | None,
        ledger_topic: str | None,
    ) -> None:
        self._reader = reader
        self._bounds = bounds
        self._topic = topic
        self._state_topic = state_topic
        self._ledger_topic = ledger_topic
        self._known: dict[Address, int | None] = {}

    def proved(self, trails: Mapping[int, Trail]) -> dict[int, Mark | None]:
        """By partition, the newest mark that holds, with those just before it; None if none does.

        A mark alone proves what is before it only if it was made before the logs lost their ends. One made
        after that, and before the loss was noticed, has records that are there: those before it are not.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        result: dict[int, Mark | None] = {}
        depth = 0
        left = {partition: trail.marks for partition, trail in trails.items()}
        while left:
            # The same depth for all partitions at a time: mostly the first mark holds.
            at_depth = {at: marks[depth : depth + _TOGETHER] for at, marks in left.items()}
            self._look_up(
                address
                for at, marks in at_depth.items()
                for mark in marks
                for address in self._addresses(at, mark)
            )
            for partition, marks in at_depth.items():
                if all(self._holds(partition, mark) for mark in marks):
                    result[partition] = marks[0] if marks else None
                    del left[partition]
            depth += 1
        return result

    def _spots(self, partition: int, mark: Mark) -> Iterable[tuple[str, int, Spot, bool]]:
        """Topic, partition and record of each claim of a mark, and whether compaction may remove it."""
        yield self._topic, partition, Spot(mark.position - 1, mark.crc), False
        if mark.state is not None and self._state_topic is not None:
            yield self._state_topic, partition, mark.state, True
        if mark.ledger is not None and self._ledger_topic is not None:
            yield self._ledger_topic, partition, mark.ledger, False

    def _addresses(self, partition: int, mark: Mark) -> Iterable[Address]:
        for topic, number, spot, _ in self._spots(partition, mark):
            low, high = self._bounds(topic, number)
            if low <= spot.offset < high:
                yield topic, number, spot.offset

    def _holds(self, partition: int, mark: Mark) -> bool:
        for topic, number, spot, compacted in self._spots(partition, mark):
            low, high = self._bounds(topic, number)
            if spot.offset < low:
                continue  # expired by retention; a truncation cannot reach that far back
            if spot.offset >= high:
                return False
            found = self._known.get((topic, number, spot.offset))
            # Compaction removes only records that are long on the disk; new records have no gaps.
            if found != spot.crc and not (found is None and compacted):
                return False
        return True

    def _look_up(self, addresses: Iterable[Address]) -> None:
        """Read these records, one of each partition at a time."""
        wanted = {address for address in addresses if address not in self._known}
        while wanted:
            turn: dict[PartitionId, int] = {}
            for topic, partition, offset in wanted:
                turn.setdefault((topic, partition), offset)
            self._read(turn)
            wanted -= {(*at, offset) for at, offset in turn.items()}

    def _read(self, turn: dict[PartitionId, int]) -> None:
        def silent(at: PartitionId) -> str:
            topic, partition = at
            return (
                f"topic {topic} partition {partition} could not be read at offset"
                f" {turn[at]} in {_TIMEOUT_S:.0f} s; see whether the broker is up"
            )

        for at, message in records_at(self._reader, turn, silent, within_s=_TIMEOUT_S).items():
            self._known[(*at, turn[at])] = None if message is None else crc_of_record(message)
