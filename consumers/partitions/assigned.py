"""The assigned partitions of a consumer: its position in each, and whether they are paused.

Rebalancing is cooperative: a consumer keeps the partitions that stay its own, and each callback names only
those that change (KIP-429). The live topic is not part of the group's subscription; its partitions are
assigned and unassigned with those of the closed bars, in the same incremental assignment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, Message, TopicPartition

from consumers.enrich.port import Enricher, Known
from consumers.ledger_snapshot import newer
from consumers.marks import Mark, Spot, Trail, crc_of_record
from consumers.partitions.counts import counts_of, grown, misfit, outgrown, separated
from consumers.partitions.offsets import Epochs, bounds_of, epochs_of, known_of, told_epochs
from consumers.partitions.states import States, ledger_restarts, read_states
from consumers.proof import Prover
from consumers.streams import Stream
from shared.errors import BrokerError
from shared.kafka import KAFKA, KafkaClients
from shared.topics import LEDGER

log: Final = logging.getLogger(__name__)

# Errors of a next offset that the broker no longer has.
_GONE: Final = frozenset(
    (KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION, KafkaError.OFFSET_OUT_OF_RANGE)
)
# How long a broker may take to answer a question that can wait: a stop waits for it.
GLANCE_S: Final = 2.0


class Partitions:
    """Assigns partitions to the consumer and the enricher.

    Attributes:
        positions: topic → partition → offset of the next record to read; only the group's topics.

    Args:
        config: of the consumer, for others that read the state topic or prove marks.
        newest: the last record that we have written to a topic's partition.
        dead_letter: sends a record to the dead letters.
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
        dead_letter: Callable[[Message, str], None] = lambda _message, _reason: None,
        kafka: KafkaClients = KAFKA,
    ) -> None:
        self._stream = stream
        self._enricher = enricher
        self._consumer = consumer
        self._config = config
        self._memory_broker = memory_broker
        self._newest = newest
        self._kafka = kafka
        self._count: int | None = None  # partitions of the source at the last assignment
        self._paused = False
        self._last_read: dict[tuple[str, int], Message] = {}
        self._trails: dict[tuple[str, int], Trail] = {}
        self._epochs: Epochs = {}  # from before the marks were checked
        self._dead_letter = dead_letter
        self._reported: set[tuple[str, int, int]] = set()  # unreadable state records
        self._held: set[tuple[str, int]] = set()  # assigned, the live topic's too
        self._noticed: Epochs = {}  # already reported
        self._seen: dict[tuple[str, int], int] = {}  # positions at the last call of `missed_outage`
        self.positions: dict[str, dict[int, int]] = {topic: {} for topic in stream.topics}

    def assign(self, partitions: Sequence[TopicPartition], now_ms: int) -> None:
        """Begin to read newly assigned partitions, from where the enricher wants them.

        Raises:
            BrokerUnavailable: the broker does not answer.
            BrokerError: the source was given more partitions, so that its series left their state.
        """
        assigned: list[TopicPartition] = []
        if not self._memory_broker and any(at.topic == self._stream.topic for at in partitions):
            self._check_counts()
        if not self._memory_broker and partitions:
            self._epochs |= epochs_of(self._config, partitions, self._kafka)
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
        self.hold(assigned)
        # librdkafka remembers a pause from an earlier assignment of the same partition, and has none if the
        # store failed while another member held the partition.
        (self._consumer.pause if self._paused else self._consumer.resume)(assigned)

    def hold(self, partitions: Sequence[TopicPartition]) -> None:
        """Assign partitions in librdkafka alone, which it gives back by `revoke`."""
        self._consumer.incremental_assign(list(partitions))
        self._held.update((at.topic, at.partition) for at in partitions)

    def _check_counts(self) -> None:
        counts = counts_of(self._config, self._stream.all_topics, self._kafka)
        now = counts.get(self._stream.topic)
        fault = misfit(self._stream, counts) or outgrown(self._stream, self._count, now)
        if fault is not None:
            raise BrokerError(fault)
        if said := grown(self._stream, self._count, now):
            log.warning("%s", said)
        self._count = now

    def revoke(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget revoked partitions."""
        given: list[TopicPartition] = []
        for at in partitions:
            self.positions.get(at.topic, {}).pop(at.partition, None)
            for known in (self._last_read, self._trails, self._epochs):
                known.pop((at.topic, at.partition), None)
            if at.topic == self._stream.topic:
                self._enricher.revoke(at.partition)
            given += [TopicPartition(at.topic, at.partition), *self._live(at.topic, at.partition)]
        # One partition that is not assigned, since `assign` failed, would make librdkafka reject them all. We
        # track the assignment ourselves: librdkafka may never answer while it closes a broken group.
        held = [at for at in given if (at.topic, at.partition) in self._held]
        self._held.difference_update((at.topic, at.partition) for at in held)
        self._consumer.incremental_unassign(held)

    def start_over(self, now_ms: int) -> None:
        """Read all assigned partitions again from the committed offsets, as after a restart.

        Raises:
            BrokerUnavailable: as `assign`.
        """
        held = [
            TopicPartition(topic, partition)
            for topic, partitions in self.positions.items()
            for partition in partitions
        ]
        if held:
            self.revoke(held)
            self.assign(held, now_ms)

    def passed(self, message: Message, topic: str, partition: int) -> bool:
        """A record was read; False if its broker was down since the partition was assigned.

        The broker may have lost records, and other records may have taken their offsets.
        """
        at = topic, partition
        epoch = message.leader_epoch()
        if epoch is not None and epoch > self._epochs.get(at, epoch) and self._noticed.get(at) != epoch:
            self._noticed[at] = epoch
            return False
        self._last_read[at] = message
        return True

    def missed_outage(self) -> bool:
        """Whether a partition without records since the last call lies on a broker that has been down.

        The next record would tell (`passed`), and of a bar's topic it may come a day later. Of partitions
        that no broker tells of now the next call may know.
        """
        quiet = [
            TopicPartition(topic, partition)
            for topic, partitions in self.positions.items()
            for partition, position in partitions.items()
            if self._seen.get((topic, partition)) == position
        ]
        self._seen = {
            (topic, at): position for topic, of in self.positions.items() for at, position in of.items()
        }
        if self._memory_broker or not quiet:
            return False
        now, _ = told_epochs(self._config, quiet, self._kafka, GLANCE_S)
        return any(epoch > self._epochs.get(at, epoch) for at, epoch in now.items())

    @staticmethod
    def gone(error: KafkaError | None) -> bool:
        """Whether the error says that the next record to read is gone."""
        return error is not None and error.code() in _GONE

    def mark(self, topic: str, partition: int) -> Trail:
        """Mark that everything read is stored, with the records written for it; returns all marks so far."""
        trail = self._trails.setdefault((topic, partition), Trail())
        last = self._last_read.get((topic, partition))
        if last is not None:
            state_topic = self._stream.state_topic if topic == self._stream.topic else None
            trail.add(
                Mark(
                    (last.offset() or 0) + 1,
                    crc_of_record(last),
                    self._newest(state_topic, partition) if state_topic else None,
                    self._newest(LEDGER, partition) if topic != LEDGER else None,
                )
            )
        return trail

    def holds(self, topic: str | None, partition: int | None) -> bool:
        """Whether a partition is assigned to us; the live topic follows its source."""
        source = self._stream.topic if topic == self._stream.live_topic else topic
        return partition in self.positions.get(str(source), {})

    def abandon(self) -> None:
        """Forget all positions, so that nothing more is committed."""
        for partitions in self.positions.values():
            partitions.clear()

    def pause(self) -> None:
        """Read nothing until `resume`, not even from partitions assigned meanwhile."""
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
                replaces=newer if is_ledger else None,
                reject=self._reject_state,
                kafka=self._kafka,
            )
            fault = separated(self._stream, self._count, states)
            if fault is not None:
                raise BrokerError(fault)
        known = known_of(
            self._consumer,
            partitions,
            states=states,
            now_ms=now_ms,
            memory_broker=self._memory_broker,
            prove=None if self._memory_broker else partial(self._proved, topic),
        )
        if stateful and is_ledger:
            found = ledger_restarts(self._config, states, known, self._kafka)
            known = {partition: replace(of, ledger=found[partition]) for partition, of in known.items()}
        return known

    def _reject_state(self, message: Message, reason: str) -> None:
        """Send to the dead letters, once in the life of this process."""
        at = message.topic() or "", message.partition() or 0, message.offset() or 0
        if at not in self._reported:
            self._reported.add(at)
            self._dead_letter(message, reason)

    def _proved(self, topic: str, trails: Mapping[int, Trail]) -> Mapping[int, Mark | None]:
        """The newest mark of each partition that holds. Raises BrokerUnavailable."""
        group = f"{self._config['group.id']}.proof"
        reader = self._kafka.consumer(self._config | {"group.id": group, "enable.partition.eof": True})
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
