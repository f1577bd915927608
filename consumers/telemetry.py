"""What a consumer reports once a second: rate, lag, latencies, dead letters."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from consumers.enrich.port import Record
from consumers.kafka_writer import KafkaWriter
from consumers.stores.port import Store
from shared.health import SILENT_BROKER_S, Health
from shared.metrics import METRICS_PERIOD_S, ServiceMetrics
from shared.topics import METRICS

log: Final = logging.getLogger(__name__)

# Enough for quantiles of 10 s, few enough not to slow the consumer.
_SAMPLES_PER_BATCH: Final = 20


class Telemetry:
    """Counts batches, and sends a record to `pipeline.metrics` each second."""

    def __init__(self, metrics: ServiceMetrics, kafka_writer: KafkaWriter, store: Store, stream: str) -> None:
        self._metrics = metrics
        self._store = store
        self._kafka_writer = kafka_writer
        self._stream = stream
        self._next = 0.0
        self._received_ms = 0
        self._expired = 0

    @property
    def health(self) -> Health:
        """Where the loop reports what it waits for."""
        return self._metrics.health

    def consumed(self, records: Sequence[Record], now_ms: int) -> None:
        """A batch was read."""
        self._metrics.count(len(records))
        if records:
            self._received_ms = records[-1][2].get("received_time_ms", now_ms)
        self._latencies(self.sample(records), "consumed", now_ms)

    @staticmethod
    def sample(records: Sequence[Record]) -> Sequence[Record]:
        """The records of a batch whose latencies are told."""
        return records[:: max(1, len(records) // _SAMPLES_PER_BATCH)]

    def stored(self, sample: Sequence[Record], now_ms: int) -> None:
        """All of the batch is in the store."""
        self._latencies(sample, "stored", now_ms)

    def report(
        self,
        consumer: Consumer,
        positions: Mapping[str, Mapping[int, int]],
        now_ms: int,
        *,
        now: bool = False,
    ) -> None:
        """Send the metrics if a period has passed, or if `now`."""
        moment = time.monotonic()
        if moment < self._next and not now:
            return
        self._next = moment + METRICS_PERIOD_S
        lag = _lag(consumer, positions)
        self._metrics.gauge("lag_messages", lag)
        behind_ms = now_ms - self._received_ms if lag and self._received_ms else 0
        self._metrics.gauge("lag_seconds", max(behind_ms, 0) / 1000)
        self._metrics.gauge("dead_letters", self._kafka_writer.dead_letters)
        self._metrics.gauge("dead_letters_lost", self._kafka_writer.lost_letters)
        self._metrics.gauge("expired", self._store.expired)
        if self._store.expired and not self._expired:
            log.warning("%s: points older than their bucket keeps are not stored", self._metrics.service)
        self._expired = self._store.expired
        silence_s = self._kafka_writer.silence_s
        self.health.set_ready(
            "kafka", silence_s <= SILENT_BROKER_S, f"nothing acknowledged for {silence_s:.0f} s"
        )
        self._kafka_writer.send_json(METRICS, self._metrics.service.encode(), self._metrics.message(now_ms))

    def _latencies(self, sample: Sequence[Record], hop: str, now_ms: int) -> None:
        for _, _, message in sample:
            if message.get("source") == "stream" and "stream" not in message:
                latency_ms = now_ms - message["received_time_ms"]
                self._metrics.latency(message["exchange"], self._stream, hop, now_ms, latency_ms)


def _lag(consumer: Consumer, positions: Mapping[str, Mapping[int, int]]) -> int:
    """Records that the broker has and we have not read, by the ends that fetches reported."""
    lag = 0
    for topic, partitions in positions.items():
        for partition, position in partitions.items():
            bounds = consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            if bounds is not None and bounds[1] > position:
                lag += bounds[1] - position
    return lag
