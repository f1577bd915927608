"""Kafka as taps need it: a reader of the past, and the incarnations of topics."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from consumers.marks import as_bytes
from consumers.tap.records import RawRecord
from shared.errors import BrokerUnavailable
from shared.kafka import KAFKA, Config, cause, consumer_config
from shared.kafka_reader import PartitionId, watermarks
from shared.partitioner import partition_of

# Never joined.
GROUP: Final = "cryptostream.tap"
ANSWER_S: Final = 5.0
# A broker that is alive delivers within milliseconds.
_SILENCE_S: Final = 10.0
_BATCH: Final = 5_000
_POLL_S: Final = 0.2
_EPOCH_DIGITS: Final = 6


class Incarnation(NamedTuple):
    """A topic as it is now: an epoch that no other topic of its name has, and its partition count."""

    epoch: str
    partitions: int


Incarnations = dict[str, Incarnation]


def tap_config(address: str, name: str, *, memory_broker: bool) -> Config:
    """Settings of a consumer without a group."""
    config = consumer_config(address, GROUP, f"tap-{name}", memory_broker=memory_broker)
    return config | {
        # A lost offset is noticed, never passed over.
        "auto.offset.reset": "error",
        # A broker that returns is found within a second.
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 1_000,
        "log_level": 0,
    }


def admin_of(address: str) -> AdminClient:
    """A client for requests; it finds a broker that returns within a second."""
    config = {
        "bootstrap.servers": address,
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 500,
        "log_level": 0,
    }
    return KAFKA.admin(config)


def incarnations_of(
    address: str, topics: Collection[str], *, memory_broker: bool, within_s: float = ANSWER_S
) -> Incarnations:
    """The topics that exist.

    Asked by a new client each time: one that has seen a topic's former id corrupts its memory when it sees
    another (librdkafka 2.8, issue 4964).

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    admin = admin_of(address)
    try:
        metadata: Any = admin.list_topics(timeout=within_s)
        ids = {} if memory_broker else _topic_ids(admin, topics, within_s)
    except KafkaException as error:
        raise BrokerUnavailable(f"Kafka does not tell its topics: {cause(error).str()}") from None
    found = {}
    for topic in topics:
        known = metadata.topics.get(topic)
        if known is None or known.error is not None or not known.partitions:
            continue
        if memory_broker:
            # It does not tell ids; it lives as long as its address.
            identity = f"{metadata.cluster_id} {address} {topic}"
        elif topic in ids:
            identity = f"{metadata.cluster_id} {ids[topic]}"
        else:
            continue
        digest = hashlib.sha256(identity.encode()).hexdigest()
        found[topic] = Incarnation(digest[:_EPOCH_DIGITS], len(known.partitions))
    return found


def _topic_ids(admin: AdminClient, topics: Collection[str], within_s: float) -> dict[str, str]:
    """Raises KafkaException."""
    asked = admin.describe_topics(TopicCollection(list(topics)), request_timeout=within_s)
    ids = {}
    for topic, future in asked.items():
        try:
            ids[topic] = str(future.result(within_s + 1.0).topic_id)
        except TimeoutError:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
        except KafkaException as error:
            if cause(error).code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
    return ids


class KafkaReader:
    """A `consumers.tap.reading.PartitionReader` with a consumer of its own; used and closed by one thread.

    Args:
        stopped: ends every read by BrokerUnavailable.
    """

    def __init__(
        self, config: Config, incarnations: Incarnations, stopped: threading.Event, *, memory_broker: bool
    ) -> None:
        self._consumer: Consumer = KAFKA.consumer(config | {"enable.partition.eof": True})
        self._incarnations = incarnations
        self._stopped = stopped
        self._memory_broker = memory_broker
        self.passed = 0, 0

    def close(self) -> None:
        self._consumer.close()

    def partition(self, topic: str, key: bytes) -> PartitionId:
        return topic, partition_of(key, self._incarnations[topic].partitions)

    def bounds(self, at: PartitionId) -> tuple[int, int]:
        if self._memory_broker:
            return self._bounds_read(at)
        return watermarks(
            self._consumer,
            at,
            lambda reason: f"{at[0]}: Kafka does not tell its offsets: {reason}",
            within_s=ANSWER_S,
            patient=True,
        )

    def read(self, at: PartitionId, start: int, end: int, key: bytes) -> Iterator[RawRecord]:
        if start >= end:
            return
        for offset, found_key, value in self._records(at, start):
            if offset >= end:
                return
            if found_key == key:
                yield RawRecord(*at, offset, as_bytes(value))
            if offset == end - 1:
                return

    def _bounds_read(self, at: PartitionId) -> tuple[int, int]:
        """The in-memory broker's answers are not reliable, and its partitions are small: read."""
        low = end = 0
        for number, (offset, _, _) in enumerate(self._records(at, OFFSET_BEGINNING)):
            low, end = (offset if number == 0 else low), offset + 1
        return low, end

    def _records(self, at: PartitionId, start: int) -> Iterator[tuple[int, bytes | str | None, Any]]:
        """Offsets, keys and values from an offset to the present end. Raises BrokerUnavailable."""
        topic, partition = at
        self._consumer.assign([TopicPartition(topic, partition, start)])
        try:
            deadline = time.monotonic() + _SILENCE_S
            while not self._stopped.is_set():
                messages = self._consumer.consume(_BATCH, _POLL_S)
                for message in messages:
                    error = message.error()
                    if message.topic() != topic or message.partition() != partition:
                        continue
                    if error is None:
                        offset, value = message.offset() or 0, message.value()
                        self.passed = self.passed[0] + 1, self.passed[1] + len(value or b"")
                        yield offset, message.key(), value
                    elif error.code() == KafkaError._PARTITION_EOF:
                        return
                    elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                        raise BrokerUnavailable(f"{topic}: records from offset {start} on are gone")
                if messages:
                    deadline = time.monotonic() + _SILENCE_S
                elif time.monotonic() > deadline:
                    raise BrokerUnavailable(f"{topic}: Kafka has been silent for {_SILENCE_S:.0f} s")
            raise BrokerUnavailable(f"{topic}: reading was stopped")
        finally:
            self._consumer.unassign()
