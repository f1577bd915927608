"""What a member does that closes while a change of its group waits for it.

librdkafka may never come back from the end of the callback there: it holds the interpreter's lock and waits
for an answer of a group that has ended. On a real broker this runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import TopicPartition

from tests.kafka_contract.base import Calls, Cases, Place, failure_of

Tell = Callable[[int | None], None]


def leave_amid_a_change(place: Place, topic: str, tell: Tell) -> None:
    """Tell how many partitions were assigned, then what becomes of a commit whenever some are taken."""
    cases, made = Cases(), list[Any]()

    def assign(consumer: Any, partitions: list[TopicPartition]) -> None:
        tell(len(partitions))
        consumer.incremental_assign(partitions)
        assigned.append(len(partitions))

    def revoke(consumer: Any, partitions: list[TopicPartition]) -> None:
        commits = [TopicPartition(topic, at.partition, 1) for at in partitions]
        tell(failure_of(lambda: consumer.commit(offsets=commits, asynchronous=False)))
        consumer.incremental_unassign(partitions)

    assigned: list[int] = []
    first = cases.consumer(place, made, topic)
    first.subscribe([topic], on_assign=assign, on_revoke=revoke)
    cases.until(place, lambda: assigned, first)
    calls = Calls()
    second = calls.subscribe(cases.consumer(place, made, topic), topic)
    cases.until(place, lambda: calls.told, second)
    place.pause(2.0)
    first.close()
    second.close()
