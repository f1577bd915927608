"""A consumer's requests about offsets: committed ones, bounds of partitions, times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import OFFSET_END, OFFSET_INVALID, KafkaError, KafkaException, TopicPartition

from shared.kafka import cause
from tests.simulation.kafka.coordinator import Committed
from tests.simulation.kafka.link import Link
from tests.simulation.kafka.log import Refused
from tests.simulation.kafka.membership import PUT_OUT, Membership
from tests.simulation.kafka.messages import At, answered, failure


def at_of(partition: TopicPartition) -> At:
    return partition.topic, partition.partition


def seconds(timeout: float | None) -> float:
    """librdkafka has no endless requests: its socket.timeout.ms ends them."""
    return 60.0 if timeout is None or timeout < 0 else timeout


class Offsets:
    """Blocking requests; each raises KafkaException.

    Attributes:
        closing: the client closes; it asks for no committed offsets any more.
        closed: nor does it commit.
    """

    def __init__(self, link: Link, member: Membership, config: Mapping[str, Any]) -> None:
        self._link = link
        self._broker = link.broker
        self._member = member
        self._group = str(config.get("group.id", ""))
        self.closing = False
        self.closed = False
        self._session_s = config.get("session.timeout.ms", 45_000) / 1000

    def committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        """Offsets that the group has committed."""
        if self.closing:
            self._link.world.wait(lambda: False, 0.0 if self.closed else seconds(timeout))
            raise failure(KafkaError._DESTROY if self.closed else KafkaError._TIMED_OUT)
        ats = [at_of(partition) for partition in partitions]
        ask = partial(self._broker.coordinator.committed, self._group, ats)
        found = self._link.call(ask, seconds(timeout), KafkaError._TIMED_OUT)
        return [
            answered(at, found[at].offset, metadata=found[at].metadata or None)
            if at in found
            else answered(at, OFFSET_INVALID)
            for at in ats
        ]

    def commit(self, offsets: Sequence[TopicPartition], *, asynchronous: bool) -> list[TopicPartition] | None:
        """Commit; while the coordinator is away, it is waited for as long as a session lasts."""
        if self.closed:
            raise failure(KafkaError._DESTROY)
        if not offsets:
            raise failure(KafkaError._NO_OFFSET)
        commits = {at_of(each): Committed(each.offset, each.metadata or "") for each in offsets}
        member = self._member

        def work() -> None:
            if not all(map(self._broker.has, commits)):
                raise Refused(KafkaError.UNKNOWN_TOPIC_OR_PART)
            ids = member.member_id, member.instance_id, member.generation
            self._broker.coordinator.commit(self._group, *ids, commits)

        if asynchronous:
            self._link.ask(work, lambda _: None)
            return None
        try:
            self._link.call(work, self._session_s, KafkaError._WAIT_COORD)
        except KafkaException as error:
            if (code := cause(error).code()) in PUT_OUT:
                member.refused(code)
            raise
        return [
            answered(at, commit.offset, metadata=commit.metadata or None) for at, commit in commits.items()
        ]

    def bounds(self, at: At, timeout: float | None) -> tuple[int, int]:
        """First offset, and that of the next record."""
        self._require_known(at)
        silent = KafkaError._TIMED_OUT_QUEUE if self._link.reached else KafkaError._ALL_BROKERS_DOWN
        log = self._link.call(partial(self._broker.led, at), seconds(timeout), silent)
        return log.start, log.end

    def for_times(self, partitions: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        """Offsets of the first records taken at these times, or later."""

        def work() -> list[TopicPartition]:
            found = []
            for each in partitions:
                offset = self._broker.led(at_of(each)).first_since(each.offset)
                found.append(answered(at_of(each), OFFSET_END if offset is None else offset))
            return found

        for each in partitions:
            self._require_known(at_of(each))
        silent = KafkaError._TIMED_OUT if self._link.reached else KafkaError._ALL_BROKERS_DOWN
        return self._link.call(work, seconds(timeout), silent)

    def _require_known(self, at: At) -> None:
        if self._link.connected and not self._broker.has(at):
            raise failure(KafkaError._UNKNOWN_PARTITION)
