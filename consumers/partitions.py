"""The partitions a consumer holds: where it stands in each, and whether they are paused.

Rebalancing is cooperative: a consumer keeps what stays its own, so every callback names only what changes
(KIP-429). The live topic is no part of the group's subscription; its partitions come and go with those of the
closed bars, as further entries of the same incremental assignment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, Message, TopicPartition

from consumers.assignment import (
    Counts,
    Epochs,
    States,
    bounds_of,
    counts_of,
    epochs_of,
    known_of,
    ledger_restarts,
    read_states,
)
from consumers.enrich.port import Enricher, Known
from consumers.ledger_snapshot import newer
from consumers.marks import Mark, Spot, Trail, crc_of
from consumers.partition_counts import grown, misfit
from consumers.proof import Prover
from consumers.streams import Stream
from shared.errors import BrokerError
from shared.kafka import quiet_consumer
from shared.topics import LEDGER

log: Final = logging.getLogger(__name__)

# The broker no longer has the offset that is to be read next.
_GONE: Final = frozenset(
    (KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION, KafkaError.OFFSET_OUT_OF_RANGE)
)


class Partitions:
    """What is assigned, and its effect on the enricher.

    Attributes:
        positions: topic → partition → offset of the next record to read; only the group's topics.

    Args:
        config: of the consumer, for a second one that reads the state topic.
        newest: the last record that we have written to a topic's partition.
        connect: makes that second consumer. epochs: asks for the leader epochs of partitions.
        counts: asks for the partitions that topics have.
        dead_letter: puts a record aside.
    """

    def __init__(
        self,
        stream: Stream,
        enricher: Enricher,
        consumer: Consumer,
        config: dict[str, Any],
        *,
        memory_broker: bool,
        newest: Callable[[str, int], Spot | None] = lambda _topic, _partition: None,
        connect: Callable[[dict[str, Any]], Consumer] = quiet_consumer,
        epochs: Callable[[dict[str, Any], Sequence[TopicPartition]], Epochs] = epochs_of,
        counts: Counts = counts_of,
        dead_letter: Callable[[Message, str], None] = lambda _message, _reason: None,
    ) -> None:
        self._stream = stream
        self._enricher = enricher
        self._consumer = consumer
        self._config = config
        self._memory_broker = memory_broker
        self._newest = newest
        self._connect = connect
        self._ask_epochs = epochs
        self._ask_counts = counts
        self._count: int | None = None  # partitions of the source at the last assignment
        self._paused = False
        self._last_read: dict[tuple[str, int], Message] = {}
        self._trails: dict[tuple[str, int], Trail] = {}
        self._epochs: Epochs = {}  # as they were before anything was proved
        self._dead_letter = dead_letter
        self._put_aside: set[tuple[str, int, int]] = set()
        self._held: set[tuple[str, int]] = set()  # assigned, the live topic's too
        self._noticed: Epochs = {}  # those of which it was said already
        self.positions: dict[str, dict[int, int]] = {topic: {} for topic in stream.topics}

    def take(self, partitions: Sequence[TopicPartition], now_ms: int) -> None:
        """Begin to read newly assigned partitions, from where the enricher wants them.

        Raises:
            BrokerUnavailable: the broker does not tell where they stand.
            BrokerError: there are more of them than of their state.
        """
        assigned: list[TopicPartition] = []
        if not self._memory_broker and any(at.topic == self._stream.topic for at in partitions):
            self._see_counts()
        if not self._memory_broker and partitions:
            self._epochs |= self._ask_epochs(self._config, partitions)
        for topic in self._stream.topics:
            of_topic = [at for at in partitions if at.topic == topic]
            if not of_topic:
                continue
            for partition, known in self._known(topic, of_topic, now_ms).items():
                offset = self._start(topic, partition, known)
                self.positions[topic][partition] = offset
                self._trails[topic, partition] = Trail(
                    [mark for mark in known.trail.marks if mark.position <= offset]
                )
                assigned.append(TopicPartition(topic, partition, offset))
                assigned += self._live(topic, partition)
        self._consumer.incremental_assign(assigned)
        self._held.update((at.topic, at.partition) for at in assigned)
        # librdkafka remembers a pause of an earlier assignment of the same partition, and knows of none
        # where the store went down while the partition was another's.
        (self._consumer.pause if self._paused else self._consumer.resume)(assigned)

    def _see_counts(self) -> None:
        counts = self._ask_counts(self._config, self._stream.all_topics)
        fault = misfit(self._stream, counts)
        if fault is not None:
            raise BrokerError(fault)
        now = counts.get(self._stream.topic)
        if said := grown(self._stream, self._count, now):
            log.warning("%s", said)
        self._count = now

    def give(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions that are another's from now on."""
        given: list[TopicPartition] = []
        for at in partitions:
            self.positions.get(at.topic, {}).pop(at.partition, None)
            for noted in (self._last_read, self._trails, self._epochs):
                noted.pop((at.topic, at.partition), None)
            if at.topic == self._stream.topic:
                self._enricher.revoke(at.partition)
            given += [TopicPartition(at.topic, at.partition), *self._live(at.topic, at.partition)]
        # One that is not assigned, since its beginning failed, would make librdkafka refuse them all.
        # Not asked of librdkafka: where a group that broke off is closed, it may never answer.
        held = [at for at in given if (at.topic, at.partition) in self._held]
        self._held.difference_update((at.topic, at.partition) for at in held)
        self._consumer.incremental_unassign(held)

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

    def passed(self, message: Message, topic: str, partition: int) -> bool:
        """Take note of a record that is read; False if its broker was away since the partition was taken.

        What it lost meanwhile nobody knows, and others may have written in its place.
        """
        place = topic, partition
        epoch = message.leader_epoch()
        if epoch is not None and epoch > self._epochs.get(place, epoch) and self._noticed.get(place) != epoch:
            self._noticed[place] = epoch
            return False
        self._last_read[place] = message
        return True

    @staticmethod
    def gone(error: KafkaError | None) -> bool:
        """Whether the broker has said that what is to be read next is no longer there."""
        return error is not None and error.code() in _GONE

    def mark(self, topic: str, partition: int) -> Trail:
        """Note that everything that was read is stored, and what we have written of it; all marks so far."""
        trail = self._trails.setdefault((topic, partition), Trail())
        last = self._last_read.get((topic, partition))
        if last is not None:
            state_topic = self._stream.state_topic if topic == self._stream.topic else None
            trail.add(
                Mark(
                    (last.offset() or 0) + 1,
                    crc_of(_bytes(last.key()), _bytes(last.value())),
                    self._newest(state_topic, partition) if state_topic else None,
                    self._newest(LEDGER, partition) if topic != LEDGER else None,
                )
            )
        return trail

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
            states = read_states(
                self._config,
                str(self._stream.state_topic),
                numbers,
                self._connect,
                replaces=newer if is_ledger else None,
                put_aside=self._put_state_aside,
            )
        known = known_of(
            self._consumer,
            partitions,
            states=states,
            now_ms=now_ms,
            memory_broker=self._memory_broker,
            prove=None if self._memory_broker else partial(self._proved, topic),
        )
        if stateful and is_ledger:
            found = ledger_restarts(self._config, states, known)
            known = {partition: replace(of, ledger=found[partition]) for partition, of in known.items()}
        return known

    def _put_state_aside(self, message: Message, reason: str) -> None:
        """To the dead letters, once in the life of this process."""
        place = message.topic() or "", message.partition() or 0, message.offset() or 0
        if place not in self._put_aside:
            self._put_aside.add(place)
            self._dead_letter(message, reason)

    def _proved(self, topic: str, trails: Mapping[int, Trail]) -> Mapping[int, Mark | None]:
        """The newest mark of each partition that is true. Raises BrokerUnavailable."""
        group = f"{self._config['group.id']}.proof"
        reader = self._connect(self._config | {"group.id": group, "enable.partition.eof": True})
        try:
            prover = Prover(
                reader,
                cache(partial(bounds_of, reader)),
                topic,
                state_topic=self._stream.state_topic if topic == self._stream.topic else None,
                ledger_topic=LEDGER if topic != LEDGER else None,
            )
            return prover.proved(trails)
        finally:
            reader.close()

    def _start(self, topic: str, partition: int, known: Known) -> int:
        if topic != self._stream.topic:
            return known.resume
        start = self._enricher.assign(partition, known)
        if start.note:
            log.info("%s partition %d: %s", topic, partition, start.note)
        return start.offset


def _bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
