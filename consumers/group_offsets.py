"""The consumer group's offsets, as a checkpoint commits them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumers.enrich.port import Commit
from shared.errors import BrokerError
from shared.kafka import Verdict, cause, verdict

log: Final = logging.getLogger(__name__)


class GroupOffsets:
    """Commits by the consumer that is a member of the group."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

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

    @staticmethod
    def _refused(error: KafkaError) -> bool:
        if verdict(error) is Verdict.FATAL:
            raise BrokerError(f"offsets cannot be committed: {error.str()}; see `cryptostream topics`")
        log.warning("offsets are not committed now: %s", error.str())
        return False
