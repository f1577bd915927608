"""The thread of a source: follows all partitions of its topics from their ends, outside of any group.

What becomes of the records is `Work`. The consumer is made, used and closed by this thread alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumers.tap.kafka import Incarnations, incarnations_of, tap_config
from consumers.tap.port import Condition, Event, OnEvents, Source
from shared.errors import BrokerUnavailable
from shared.kafka import KAFKA, refused
from shared.kafka_reader import PartitionId

log: Final = logging.getLogger(__name__)

_POLL_S: Final = 0.1
_BATCH: Final = 2_000
# Least time between two batches of events: a busy market would otherwise wake the API for each record.
_PACE_S: Final = 0.010
_AGAIN_S: Final = 1.0
# The records that come next are not those that followed: the partition lost its end, or was made anew.
_LOST_PLACE: Final = frozenset(
    (KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION, KafkaError.OFFSET_OUT_OF_RANGE)
)
_LOST_TOPIC: Final = frozenset(
    (
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,  # type: ignore[attr-defined]
    )
)


class Work(Protocol):
    """What is made of a source's records; called from the follower's thread only.

    Attributes:
        topics: the source.
        names: the kinds of series that come from it.
    """

    topics: tuple[str, ...]
    names: tuple[str, ...]

    def begin(self, consumer: Consumer, incarnations: Incarnations) -> Mapping[PartitionId, int]:
        """Start (over): all active series begin anew. Returns the offsets to follow from.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """

    def receive(self, messages: Sequence[Message]) -> list[Event]:
        """Records of any key, in the order of their partitions; called without records too."""

    def stop(self) -> None:
        """Nothing is received any more."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all followers of a process share.

    Attributes:
        broker_lost: called by librdkafka when no broker can be reached, from its callbacks.
        on_failure: an unexpected error ended a thread: the process must end too.
    """

    address: str
    memory_broker: bool
    on_events: OnEvents
    on_failure: Callable[[BaseException], None]
    broker_lost: Callable[[], None]
    stopped: threading.Event


class Follower(threading.Thread):
    """Follows one source until `Surroundings.stopped`.

    Attributes:
        incarnations: the topics as they are followed; empty while they are not.
    """

    def __init__(self, name: str, work: Work, around: Surroundings) -> None:
        super().__init__(name=f"tap-{name}")
        self.work = work
        self._around = around
        self._config = tap_config(around.address, name, memory_broker=around.memory_broker) | {
            "error_cb": self._on_error
        }
        self._renew = threading.Event()
        self._emitted_s = 0.0
        self.incarnations: Incarnations = {}

    def renew(self) -> None:
        """Start over: the topics are not those that are followed. Called from any thread."""
        self._renew.set()

    def run(self) -> None:
        try:
            while not self._around.stopped.is_set():
                self._follow()
        except BaseException as error:  # noqa: BLE001 - handed on; the process ends by it
            self._around.on_failure(error)
        finally:
            self.work.stop()

    def _follow(self) -> None:
        """Until the topics change, or the stop. A new client each time, which remembers nothing of others."""
        self._renew.clear()
        consumer = KAFKA.consumer(self._config)
        try:
            if self._begun(consumer):
                while not self._around.stopped.is_set() and not self._renew.is_set():
                    self._turn(consumer)
        except KafkaException as error:
            raise refused(error) from None
        finally:
            consumer.close()

    def _begun(self, consumer: Consumer) -> bool:
        """Begin to follow, as soon as the broker and the topics are there; False at a stop."""
        since_ms = time.time_ns() // 1_000_000
        while not self._around.stopped.is_set():
            try:
                found = incarnations_of(
                    self._around.address, self.work.topics, memory_broker=self._around.memory_broker
                )
                missing = [topic for topic in self.work.topics if topic not in found]
                if not missing:
                    starts = self.work.begin(consumer, found)
                    consumer.assign([TopicPartition(*at, offset) for at, offset in starts.items()])
                    self.incarnations = found
                    self._around.on_events([Condition(self.work.names, None, None, since_ms)])
                    return True
                away = f"topic {missing[0]} does not exist; create the topics with: cryptostream topics"
            except BrokerUnavailable as error:
                away = str(error)
            self._around.on_events([Condition(self.work.names, None, away, since_ms)])
            self._around.stopped.wait(_AGAIN_S)
        return False

    def _turn(self, consumer: Consumer) -> None:
        # Poll one, then drain: `consume` with a time-out waits until its batch is full.
        first = consumer.poll(_POLL_S)
        messages = [] if first is None else [first, *consumer.consume(_BATCH, 0.0)]
        records = [message for message in messages if message.error() is None]
        if len(records) < len(messages):
            self._look_at(messages)
        events = self.work.receive(records)
        if events:
            self._around.on_events(events)
            since_s = time.monotonic() - self._emitted_s
            if since_s < _PACE_S:
                self._around.stopped.wait(_PACE_S - since_s)
            self._emitted_s = time.monotonic()

    def _look_at(self, messages: Sequence[Message]) -> None:
        for message in messages:
            error = message.error()
            if error is not None and error.code() in _LOST_PLACE | _LOST_TOPIC:
                log.warning("%s: %s; starting over", message.topic(), error.str())
                self._renew.set()

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
            self._around.broker_lost()


def source_of(incarnations: Incarnations, at: PartitionId) -> Source:
    topic, partition = at
    return Source(topic, partition, incarnations[topic].epoch)
