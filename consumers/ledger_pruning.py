"""Deletes old events of `pipeline.ledger` that are in a snapshot; its events never expire by time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from shared.kafka import cause
from shared.topics import LEDGER

log: Final = logging.getLogger(__name__)

PERIOD_S: Final = 3_600.0
# As long as trades are kept, for people who investigate.
KEPT_MS: Final = 7 * 24 * 3_600_000
_TIMEOUT_S: Final = 5.0


class LedgerPruning:
    """Called after checkpoints; once an hour it asks the broker to delete.

    Args:
        covered: by partition, the offset before which all events are in acknowledged snapshots.
    """

    def __init__(
        self,
        admin: AdminClient,
        consumer: Consumer,
        covered: Callable[[], Mapping[int, int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._admin = admin
        self._consumer = consumer
        self._covered = covered
        self._clock = clock
        self._next_s = clock()
        self._asked: dict[TopicPartition, Any] = {}

    def __call__(self, now_ms: int) -> None:
        self._take_answers()
        covered = self._covered()
        if not covered or self._clock() < self._next_s:
            return
        self._next_s = self._clock() + PERIOD_S
        times = [TopicPartition(LEDGER, partition, now_ms - KEPT_MS) for partition in covered]
        try:
            # By the broker's time (LogAppendTime). A host clock that is ahead deletes counted events too
            # early.
            young = self._consumer.offsets_for_times(times, timeout=_TIMEOUT_S)
        except KafkaException as error:
            log.warning("%s: old events are deleted later: %s", LEDGER, cause(error).str())
            return
        ends = [
            TopicPartition(LEDGER, at.partition, min(at.offset, covered[at.partition]))
            for at in young
            if at.error is None and at.offset > 0
        ]
        if ends:
            self._asked = self._admin.delete_records(ends, request_timeout=_TIMEOUT_S)

    def _take_answers(self) -> None:
        for at, answer in list(self._asked.items()):
            if answer.done():
                del self._asked[at]
                error = answer.exception()
                if error is not None:
                    log.warning("%s: old events of partition %d stay: %s", LEDGER, at.partition, error)
