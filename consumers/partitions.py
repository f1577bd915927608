"""The partitions a consumer holds: where it stands in each, and whether they are paused.

Rebalancing is cooperative: a consumer keeps what stays its own, so every callback names only what changes
(KIP-429). The live topic is no part of the group's subscription; its partitions come and go with those of the
closed bars, as further entries of the same incremental assignment.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from consumers.assignment import States, known_of, ledger_restarts, read_states
from consumers.enrich.port import Enricher, Known
from consumers.ledger_snapshot import newer
from consumers.streams import Stream

log: Final = logging.getLogger(__name__)


class Partitions:
    """What is assigned, and its effect on the enricher.

    Attributes:
        positions: topic → partition → offset of the next record to read; only the group's topics.

    Args:
        config: of the consumer, for a second one that reads the state topic.
    """

    def __init__(
        self,
        stream: Stream,
        enricher: Enricher,
        consumer: Consumer,
        config: dict[str, Any],
        *,
        memory_broker: bool,
    ) -> None:
        self._stream = stream
        self._enricher = enricher
        self._consumer = consumer
        self._config = config
        self._memory_broker = memory_broker
        self._paused = False
        self.positions: dict[str, dict[int, int]] = {topic: {} for topic in stream.topics}

    def take(self, partitions: Sequence[TopicPartition], now_ms: int) -> None:
        """Begin to read newly assigned partitions, from where the enricher wants them.

        Raises:
            BrokerUnavailable: the broker does not tell where they stand.
        """
        assigned: list[TopicPartition] = []
        for topic in self._stream.topics:
            of_topic = [at for at in partitions if at.topic == topic]
            if not of_topic:
                continue
            for partition, known in self._known(topic, of_topic, now_ms).items():
                offset = self._start(topic, partition, known)
                self.positions[topic][partition] = offset
                assigned.append(TopicPartition(topic, partition, offset))
                assigned += self._live(topic, partition)
        self._consumer.incremental_assign(assigned)
        # librdkafka remembers a pause of an earlier assignment of the same partition, and knows of none
        # where the store went down while the partition was another's.
        (self._consumer.pause if self._paused else self._consumer.resume)(assigned)

    def give(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions that are another's from now on."""
        assigned = {(at.topic, at.partition) for at in self._consumer.assignment()}
        given: list[TopicPartition] = []
        for at in partitions:
            self.positions.get(at.topic, {}).pop(at.partition, None)
            if at.topic == self._stream.topic:
                self._enricher.revoke(at.partition)
            given += [TopicPartition(at.topic, at.partition), *self._live(at.topic, at.partition)]
        # One that is not assigned, since its beginning failed, would make librdkafka refuse them all.
        self._consumer.incremental_unassign([at for at in given if (at.topic, at.partition) in assigned])

    def start_over(self, now_ms: int) -> None:
        """Read all partitions that are held again from what is committed, as after a restart.

        Raises:
            BrokerUnavailable: as `take`.
        """
        held = [
            TopicPartition(topic, partition)
            for topic, partitions in self.positions.items()
            for partition in partitions
        ]
        if held:
            self.give(held)
            self.take(held, now_ms)

    def holds(self, topic: str | None, partition: int | None) -> bool:
        """Whether a partition's records are ours to read; the live topic goes with its source."""
        source = self._stream.topic if topic == self._stream.live_topic else topic
        return partition in self.positions.get(str(source), {})

    def abandon(self) -> None:
        """Nothing more may be committed."""
        for partitions in self.positions.values():
            partitions.clear()

    def pause(self) -> None:
        """Read nothing, also of what will be assigned, until `resume`."""
        self._paused = True
        self._consumer.pause(self._assigned())

    def resume(self) -> None:
        self._paused = False
        self._consumer.resume(self._assigned())

    def _assigned(self) -> list[TopicPartition]:
        return [
            at
            for topic, partitions in self.positions.items()
            for partition in partitions
            for at in (TopicPartition(topic, partition), *self._live(topic, partition))
        ]

    def _live(self, topic: str, partition: int) -> list[TopicPartition]:
        live = self._stream.live_topic
        return [TopicPartition(live, partition, OFFSET_END)] if live and topic == self._stream.topic else []

    def _known(self, topic: str, partitions: Sequence[TopicPartition], now_ms: int) -> Mapping[int, Known]:
        stateful = topic == self._stream.topic and self._stream.state_topic is not None
        is_ledger = self._stream.name == "ledger"
        states: States = {}
        if stateful:
            numbers = [at.partition for at in partitions]
            replaces = newer if is_ledger else None
            states = read_states(self._config, str(self._stream.state_topic), numbers, replaces=replaces)
        known = known_of(
            self._consumer, partitions, states=states, now_ms=now_ms, memory_broker=self._memory_broker
        )
        if stateful and is_ledger:
            found = ledger_restarts(self._config, states, known)
            known = {partition: replace(of, ledger=found[partition]) for partition, of in known.items()}
        return known

    def _start(self, topic: str, partition: int, known: Known) -> int:
        if topic != self._stream.topic:
            return known.resume
        start = self._enricher.assign(partition, known)
        if start.note:
            log.info("%s partition %d: %s", topic, partition, start.note)
        return start.offset
