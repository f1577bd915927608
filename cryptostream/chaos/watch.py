"""Listens to a running stack: metrics and completeness events, from the beginning of their topics."""

from __future__ import annotations

from typing import Any, Final

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from cryptostream.chaos.claims import Claims
from cryptostream.chaos.health import Report
from shared import messages
from shared.errors import InvalidMessage
from shared.kafka import LIBRDKAFKA_LOG, consumer_config
from shared.topics import LEDGER, METRICS

_TIMEOUT_S: Final = 10.0
_BATCH: Final = 2_000


class Watch:
    """The newest report of each service, and all claims.

    Attributes:
        reports: by service, as `producer`, `consumer-klines-1m`.
        bad: ledger records that break the contract.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        config = consumer_config(bootstrap_servers, "cryptostream.chaos", "cryptostream-chaos")
        # Scenarios take the broker away: the client's complaints say nothing new.
        self._consumer = Consumer({**config, "log_level": 0}, logger=LIBRDKAFKA_LOG)
        topics = self._consumer.list_topics(timeout=_TIMEOUT_S).topics
        self._consumer.assign(
            [
                TopicPartition(topic, partition, OFFSET_BEGINNING)
                for topic in (LEDGER, METRICS)
                for partition in topics[topic].partitions
            ]
        )
        self.claims = Claims()
        self.reports: dict[str, Report] = {}
        self.bad = 0

    def poll(self, timeout_s: float) -> None:
        """Take what has come; waits `timeout_s` for the first."""
        for record in self._consumer.consume(_BATCH, timeout_s):
            value = record.value()
            if record.error() is not None or value is None:
                continue  # the services meet the same broker; the run ends by its deadlines
            if record.topic() == METRICS:
                said: dict[str, Any] = orjson.loads(value)
                self.reports[said["service"]] = Report.of(said)
                continue
            try:
                self.claims.receive(messages.decode("ledger", value))
            except InvalidMessage:
                self.bad += 1

    def close(self) -> None:
        self._consumer.close()
