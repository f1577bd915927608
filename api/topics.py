"""Searches topics for single records and spans, outside of consumer groups."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from api.configured import Configured
from api.problems import busy
from shared.background import Background
from shared.errors import BrokerError, BrokerUnavailable, InvalidMessage
from shared.kafka import KAFKA, consumer_config
from shared.kafka_reader import (
    answered,
    cluster,
    does_not_answer,
    fatal_alone,
    no_answer,
    read_to_end,
    watermarks,
)
from shared.messages import decode, message_key
from shared.partitioner import partition_of

Answer = TypeVar("Answer")

# A person waits.
_ANSWER_S: Final = 4.0
_READ_S: Final = 8.0
_BATCH: Final = 500
# Searches that may wait for the one thread.
_WAITING: Final = 8
# Broker's time: a record of an event arrives within this time, unless it was filled in later.
LATE_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instrument's records of one kind are.

    Attributes:
        kind: of the messages, see `shared.messages.decode`.
    """

    topic: str
    kind: str
    exchange: str
    symbol: str


class TopicSearch:
    """A connection to the broker, made at the first search, again after a failure; one search at a time."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._words = does_not_answer(bootstrap_servers)
        self._thread = Background("topic search")
        self._consumer: Consumer | None = None
        self._waiting = 0

    async def run(self, job: Callable[[], Answer]) -> Answer:
        """A search on the thread of searches.

        Raises:
            Problem: the broker does not answer, or too many searches wait.
        """
        if self._waiting >= _WAITING:
            raise busy(f"{self._waiting} searches of the topics wait already; ask again")
        self._waiting += 1
        try:
            return await asyncio.wrap_future(self._thread.submit(job))
        except BrokerError as error:
            raise busy(f"the broker is away: {error}", 2.0) from None
        finally:
            self._waiting -= 1

    def messages(self, place: Place, from_ms: int, to_ms: int) -> Iterator[Any]:
        """Messages that the broker took in [from_ms, to_ms), for `run`. Raises BrokerError."""
        partition = self._partition(place)
        offset = self._offset_at(place.topic, partition, from_ms)
        yield from self._read(place, partition, offset, to_ms)

    def newest(self, place: Place, count: int) -> Iterator[Any]:
        """Messages among the newest `count` records of the partition, for `run`. Raises BrokerError."""
        partition = self._partition(place)
        low, high = watermarks(self._connected(), (place.topic, partition), self._words, within_s=_ANSWER_S)
        yield from self._read(place, partition, max(low, high - count), None)

    def close(self) -> None:
        """End after the search that runs."""
        self._thread.submit(self._drop)
        self._thread.close()

    def _read(self, place: Place, partition: int, offset: int, to_ms: int | None) -> Iterator[Any]:
        key = message_key(place.exchange, place.symbol)
        past: list[Message] = []
        try:
            for record in read_to_end(
                self._connected(),
                {(place.topic, partition): offset},
                silent=no_answer(self._bootstrap_servers),
                unreadable=fatal_alone(f"topic {place.topic}: cannot be read"),
                batch=_BATCH,
                poll_s=0.05,
                patience_s=_READ_S,
                enough=lambda _topic, _partition: bool(past),
            ):
                if to_ms is not None and record.timestamp()[1] >= to_ms:
                    past.append(record)
                elif record.key() == key:
                    message = _decoded(place.kind, record)
                    if message is not None:
                        yield message
        except (BrokerError, KafkaException):
            self._drop()
            raise
        finally:
            if self._consumer is not None:
                self._consumer.unassign()

    def _partition(self, place: Place) -> int:
        metadata = cluster(self._connected(), silent=no_answer(self._bootstrap_servers), within_s=_ANSWER_S)
        topic = metadata.topics.get(place.topic)
        if topic is None or not topic.partitions:
            raise BrokerUnavailable(f"topic {place.topic} does not exist yet")
        return partition_of(message_key(place.exchange, place.symbol), len(topic.partitions))

    def _offset_at(self, topic: str, partition: int, time_ms: int) -> int:
        consumer = self._connected()
        (found,) = answered(
            lambda: consumer.offsets_for_times(
                [TopicPartition(topic, partition, time_ms)], timeout=_ANSWER_S
            ),
            self._words,
            within_s=_ANSWER_S,
        )
        if found.offset >= 0:
            return int(found.offset)
        return watermarks(consumer, (topic, partition), self._words, within_s=_ANSWER_S)[1]

    def _connected(self) -> Consumer:
        if self._consumer is None:
            config = {
                **consumer_config(self._bootstrap_servers, "cryptostream.api", "cryptostream-api"),
                "enable.partition.eof": True,
                "log_level": 0,
            }
            self._consumer = KAFKA.consumer(config)
        return self._consumer

    def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()


class Searches:
    """A search for the instruments of the settings, and another for all others."""

    def __init__(self, bootstrap_servers: str, configured: Configured) -> None:
        self._configured = configured
        self._ours, self._others = TopicSearch(bootstrap_servers), TopicSearch(bootstrap_servers)

    def of(self, exchange: str, symbol: str) -> TopicSearch:
        """The search for an instrument."""
        return self._ours if (exchange, symbol) in self._configured else self._others

    def close(self) -> None:
        """End after the searches that run."""
        self._ours.close()
        self._others.close()


def _decoded(kind: str, record: Message) -> Any:
    """The message; None if it breaks its contract: consumers file such records."""
    try:
        return decode(kind, record.value())
    except InvalidMessage:
        return None


def now_ms() -> int:
    """Our clock."""
    return time.time_ns() // 1_000_000
