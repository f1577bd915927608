"""The consumer group's offsets, as a checkpoint commits them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumers.enrich.port import Commit
from consumers.membership import slot_taken
from shared.errors import BrokerError
from shared.kafka import Verdict, cause, verdict

log: Final = logging.getLogger(__name__)


class GroupOffsets:
    """Commits by the consumer that is a member of the group.

    Args:
        slot: of a static member.
    """

    def __init__(self, consumer: Consumer, slot: str | None = None) -> None:
        self._consumer = consumer
        self._slot = slot

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
        taken = slot_taken(error, self._slot)
        if taken is not None:
            raise taken
        if verdict(error) is Verdict.FATAL:
            raise BrokerError(f"offsets cannot be committed: {error.str()}; see `cryptostream topics`")
        log.warning("offsets are not committed now: %s", error.str())
        return False
