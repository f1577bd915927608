"""When offsets may be committed (DESIGN §5.2), and how the consumer group commits them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumers.enrich.port import Commit, Enricher
from consumers.marks import Trail, with_marks
from consumers.membership import fenced
from shared.errors import BrokerError
from shared.kafka import cause, is_fatal
from shared.ledger import PendingEvents
from shared.messages import encode, message_key
from shared.topics import LEDGER

log: Final = logging.getLogger(__name__)

# A local broker acknowledges within milliseconds; after this time the next checkpoint tries again.
FLUSH_TIMEOUT_S: Final = 5.0

# topic → partition → position (the offset after the last record that is stored)
Positions = Mapping[str, Mapping[int, int]]


class Records(Protocol):
    """What a checkpoint needs of the Kafka writer."""

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, *, partition: int | None = None
    ) -> None: ...
    def flush(self, timeout_s: float) -> bool: ...


class Offsets(Protocol):
    """What a checkpoint needs of the consumer."""

    def commit(self, topic: str, commits: Mapping[int, Commit]) -> bool:
        """Commit; False if the group did not accept it and it is worth another try."""


class Checkpoint:
    """Makes everything durable that belongs to the offsets, then commits them.

    Args:
        topic: the source topic that the enricher's state belongs to.
        state_topic: None where no state is kept.
        mark: records how far a partition (by topic and number) has been read, and returns its marks; None to
            commit offsets alone.
    """

    def __init__(
        self,
        enricher: Enricher,
        records: Records,
        offsets: Offsets,
        *,
        topic: str,
        state_topic: str | None,
        mark: Callable[[str, int], Trail] | None = None,
    ) -> None:
        self._mark = mark
        self._enricher = enricher
        self._records = records
        self._offsets = offsets
        self._topic = topic
        self._state_topic = state_topic
        self._committed: dict[str, dict[int, Commit]] = {}
        self.events = PendingEvents()

    def run(self, positions: Positions, now_ms: int, *, everything: bool = False) -> bool:
        """One checkpoint; False if it has to be repeated.

        Args:
            positions: records before these are stored (Store.write has returned).
            everything: snapshot all state, for a stop or a rebalance.
        """
        # 1. Everything before `positions` is in the store: the ledger's events are sent.
        for message in self.events.messages(now_ms):
            key = message_key(message["exchange"], message["symbol"])
            self._records.send(LEDGER, key, encode(message))
        self.events.clear()
        # 2. The state that belongs to these offsets, and the events, are acknowledged by Kafka.
        states = self._enricher.state_due(now_ms, everything=everything) if self._state_topic else []
        for state in states:
            self._records.send(str(self._state_topic), state.key, state.value, partition=state.partition)
        if not self._records.flush(FLUSH_TIMEOUT_S):
            log.warning("Kafka has not acknowledged state and ledger yet; offsets are not committed")
            return False
        self._enricher.state_stored(states)
        # 3. Only now the offsets are committed; a crash before this line repeats work, never skips it.
        accepted = [self._commit(topic, offsets) for topic, offsets in positions.items()]
        return all(accepted)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions were revoked: what was committed for them is no longer known."""
        for at in partitions:
            self._committed.get(at.topic, {}).pop(at.partition, None)

    def _commit(self, topic: str, positions: Mapping[int, int]) -> bool:
        before = self._committed.setdefault(topic, {})
        commits = {
            partition: commit
            for partition, position in positions.items()
            if (commit := self._committable(topic, partition, position)) != before.get(partition)
        }
        if commits and not self._offsets.commit(topic, commits):
            return False
        before.update(commits)
        return True

    def _committable(self, topic: str, partition: int, position: int) -> Commit:
        commit = self._enricher.committable(partition, position) if topic == self._topic else Commit(position)
        if self._mark is None:
            return commit
        return commit._replace(metadata=with_marks(commit.metadata, self._mark(topic, partition)))


class GroupOffsets:
    """Commits through the consumer, a member of the group.

    Args:
        instance_id: of a static member.
    """

    def __init__(self, consumer: Consumer, instance_id: str | None = None) -> None:
        self._consumer = consumer
        self._instance_id = instance_id

    def commit(self, topic: str, commits: Mapping[int, Commit]) -> bool:
        offsets = [
            TopicPartition(topic, partition, commit.offset, commit.metadata)
            if commit.metadata
            else TopicPartition(topic, partition, commit.offset)
            for partition, commit in commits.items()
        ]
        try:
            committed = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            return self._refused(cause(error))
        refused = [at.error for at in committed or () if at.error is not None]
        return self._refused(refused[0]) if refused else True

    def _refused(self, error: KafkaError) -> bool:
        if (lost := fenced(error, self._instance_id)) is not None:
            raise lost
        if is_fatal(error):
            raise BrokerError(f"offsets cannot be committed: {error.str()}; see `cryptostream topics`")
        log.warning("offsets are not committed now: %s", error.str())
        return False
