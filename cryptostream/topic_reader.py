"""Reads topics from any offset to their present end, outside of all consumer groups."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from shared.errors import BrokerError, BrokerUnavailable, SettingsError
from shared.kafka import LIBRDKAFKA_LOG, Verdict, cause, consumer_config, verdict
from shared.settings import Settings

Answer = TypeVar("Answer")
Place = tuple[str, int]  # topic and partition

# A person waits for the answer; a broker that is there gives it within a second.
_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 10.0
_SILENCE_S: Final = 30.0
_BATCH: Final = 5_000
_POLL_S: Final = 0.2
# Cluster id of librdkafka's in-memory broker, which keeps neither progress nor a ledger (STACK.md §4.3).
_MEMORY_BROKER: Final = "mockCluster"


def broker_address(settings: Settings) -> str:
    """Where the broker is.

    Raises:
        SettingsError: nobody has said.
    """
    if not settings.kafka_bootstrap_servers:
        raise SettingsError("KAFKA_BOOTSTRAP_SERVERS: not set; name the broker as host:port")
    return settings.kafka_bootstrap_servers


class TopicReader:
    """A connection to a real broker; commits nothing.

    Attributes:
        brokers: how many there are.

    Raises:
        BrokerUnavailable: no broker answers there.
        BrokerError: it is the in-memory one, which keeps nothing that could be read.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        config: dict[str, Any] = {
            **consumer_config(bootstrap_servers, "cryptostream.command", "cryptostream-command"),
            "enable.partition.eof": True,
            "log_level": 0,
        }
        self._config = config
        self._consumer = Consumer(config, logger=LIBRDKAFKA_LOG)
        try:
            metadata = self._consumer.list_topics(timeout=_CONNECT_S)
        except KafkaException:
            self._consumer.close()
            raise BrokerUnavailable(
                f"KAFKA_BOOTSTRAP_SERVERS: no Kafka answers at {bootstrap_servers}; "
                "start it or name another address"
            ) from None
        if str(getattr(metadata, "cluster_id", "")).startswith(_MEMORY_BROKER):
            self._consumer.close()
            raise BrokerError(
                f"KAFKA_BOOTSTRAP_SERVERS: {bootstrap_servers} is an in-memory broker, which keeps nothing; "
                "this needs a real Kafka (cryptostream run --broker kafka)"
            )
        self.brokers = len(metadata.brokers)
        self._partitions = {name: sorted(topic.partitions) for name, topic in metadata.topics.items()}

    def close(self) -> None:
        self._consumer.close()

    def another(self, config: Mapping[str, Any]) -> Consumer:
        """A second client for other reading, with these settings; to be closed by the caller."""
        return Consumer({**self._config, **config}, logger=LIBRDKAFKA_LOG)

    def has(self, topic: str) -> bool:
        return topic in self._partitions

    def bounds(self, topic: str) -> dict[Place, tuple[int, int]]:
        """First readable offset and that of the next record to come, of each partition.

        Raises:
            BrokerError: there is no such topic.
        """
        if topic not in self._partitions:
            raise BrokerError(
                f"topic {topic} does not exist on {self.bootstrap_servers};"
                " create the topics with: cryptostream topics"
            )
        found = {}
        for number in self._partitions[topic]:
            place = TopicPartition(topic, number)
            ask = partial(self._consumer.get_watermark_offsets, place, timeout=2.0)
            low, high = self._asked(ask)
            found[topic, number] = (int(low), int(high))
        return found

    def offsets_at(self, topic: str, time_ms: int) -> dict[Place, int]:
        """Offset of the first record of each partition that the broker took at `time_ms` or later."""
        ends = self.bounds(topic)
        asked = [TopicPartition(topic, number, time_ms) for _, number in ends]
        found = self._asked(lambda: self._consumer.offsets_for_times(asked, timeout=_ANSWER_S))
        return {
            (topic, at.partition): at.offset if at.offset >= 0 else ends[topic, at.partition][1]
            for at in found
        }

    def to_end(self, starts: Mapping[Place, int]) -> Iterator[Message]:
        """All records from these offsets to the ends of their partitions; `more` goes on from there.

        Raises:
            BrokerError, BrokerUnavailable: they cannot be read.
        """
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in starts.items()])
        unread, heard_s = set(starts), time.monotonic()
        while unread:
            for message in self._consumer.consume(_BATCH, _POLL_S):
                heard_s = time.monotonic()
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard((message.topic() or "", message.partition() or 0))
                elif verdict(error) is Verdict.FATAL:
                    raise BrokerError(f"Kafka at {self.bootstrap_servers}: cannot be read: {error.str()}")
            if time.monotonic() - heard_s > _SILENCE_S:
                raise BrokerUnavailable(
                    f"KAFKA_BOOTSTRAP_SERVERS: {self.bootstrap_servers} has been silent for "
                    f"{_SILENCE_S:.0f} s; see whether the broker is well"
                )

    def more(self, timeout_s: float = _POLL_S) -> list[Message]:
        """What has come since, waiting for it up to `timeout_s`."""
        return [message for message in self._consumer.consume(_BATCH, timeout_s) if message.error() is None]

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        """Ask the broker; again while it only needs a moment, as right after a topic was created."""
        deadline = time.monotonic() + _ANSWER_S
        while True:
            try:
                return ask()
            except KafkaException as exception:
                error = cause(exception)
                if verdict(error) is Verdict.FATAL or time.monotonic() >= deadline:
                    raise BrokerUnavailable(
                        f"KAFKA_BOOTSTRAP_SERVERS: {self.bootstrap_servers} does not answer ({error.str()});"
                        " see whether the broker is well"
                    ) from None
            self._consumer.poll(_POLL_S)
