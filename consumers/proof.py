"""Reads the records that marks speak of: whether a partition still holds what was read of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from consumers.marks import Mark, Spot, Trail, crc_of
from shared.errors import BrokerUnavailable

# A record by its topic, partition and offset.
Address = tuple[str, int, int]
Bounds = Callable[[str, int], tuple[int, int]]

_TIMEOUT_S: Final = 30.0
_NOT_THERE: Final = frozenset(
    (
        KafkaError._PARTITION_EOF,
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError._LOG_TRUNCATION,
        KafkaError.OFFSET_OUT_OF_RANGE,
    )
)


class Prover:
    """Proves marks of a topic's partitions; a mark that cannot be looked at is not proved.

    Args:
        bounds: first offset of a partition, and that of the next record to come.
        state_topic, ledger_topic: where a partition's number is that of the source's; None without one.
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
        """By partition the newest mark that is true; None where not one is.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        result: dict[int, Mark | None] = {}
        depth = 0
        left = {partition: trail.marks for partition, trail in trails.items()}
        while left:
            # One depth for all partitions at a time: nearly always the first is true.
            at_depth = {at: marks[depth] for at, marks in left.items() if depth < len(marks)}
            self._look_up(spot for at, mark in at_depth.items() for spot in self._addresses(at, mark))
            for partition in list(left):
                mark = at_depth.get(partition)
                if mark is None or self._is_true(partition, mark):
                    result[partition] = mark
                    del left[partition]
            depth += 1
        return result

    def _spots(self, partition: int, mark: Mark) -> Iterable[tuple[str, int, Spot, bool]]:
        """Topic, partition and record of all that a mark says; whether it may be compacted away."""
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

    def _is_true(self, partition: int, mark: Mark) -> bool:
        for topic, number, spot, compacted in self._spots(partition, mark):
            low, high = self._bounds(topic, number)
            if spot.offset < low:
                continue  # older than the topic keeps: nothing that young can be gone before it
            if spot.offset >= high:
                return False
            found = self._known.get((topic, number, spot.offset))
            # Only what has long been on the disk is compacted; new records leave no offset out.
            if found != spot.crc and not (found is None and compacted):
                return False
        return True

    def _look_up(self, addresses: Iterable[Address]) -> None:
        """Read these records; one for each partition at a time."""
        wanted = {address for address in addresses if address not in self._known}
        while wanted:
            turn: dict[tuple[str, int], int] = {}
            for topic, partition, offset in wanted:
                turn.setdefault((topic, partition), offset)
            self._read(turn)
            wanted -= {(*place, offset) for place, offset in turn.items()}

    def _read(self, turn: dict[tuple[str, int], int]) -> None:
        places = [TopicPartition(*place, offset) for place, offset in turn.items()]
        self._reader.assign(places)
        # librdkafka remembers a pause of an earlier assignment of the same partition.
        self._reader.resume(places)
        unread = set(turn)
        deadline = time.monotonic() + _TIMEOUT_S
        while unread:
            if time.monotonic() > deadline:
                topic, partition = min(unread)
                raise BrokerUnavailable(
                    f"topic {topic} partition {partition} could not be read at offset"
                    f" {turn[topic, partition]} in {_TIMEOUT_S:.0f} s; see whether the broker is up"
                )
            for message in self._reader.consume(len(unread), 0.2):
                place = message.topic() or "", int(message.partition() or 0)
                error = message.error()
                # An end, or no such offset any more: what was to be found is not there.
                if place not in unread or (error is not None and error.code() not in _NOT_THERE):
                    continue
                unread.discard(place)
                offset = turn[place]
                same = error is None and message.offset() == offset
                self._known[(*place, offset)] = _crc(message) if same else None
                self._reader.pause([TopicPartition(*place)])
        self._reader.unassign()


def _crc(message: Message) -> int:
    key: Any = message.key()
    value: Any = message.value()
    return crc_of(key, value)
