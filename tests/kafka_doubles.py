"""Clients of Kafka for unit tests, in place of librdkafka's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NoReturn

from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from shared.kafka import Config, KafkaClients
from tests.virtual_time import FakeTime


def _none_expected(config: Config) -> NoReturn:
    raise AssertionError(f"nobody should make a client here: {config}")


def clients(
    *,
    producer: Callable[[Config], Any] = _none_expected,
    consumer: Callable[[Config], Any] = _none_expected,
    admin: Callable[[Config], Any] = _none_expected,
) -> KafkaClients:
    """Clients made by these; a test that makes any other fails."""
    return KafkaClients(producer, consumer, admin)


@dataclass(frozen=True, slots=True)
class FakeAdmin:
    """Tells leader epochs, and partition counts of topics; topics without a count do not exist."""

    epoch: Callable[[], int] = lambda: 0
    counts: Mapping[str, int] = field(default_factory=dict)
    leaderless: Collection[int] = ()

    def list_topics(self, topic: str | None = None, *, timeout: float) -> Any:
        known = {
            name: SimpleNamespace(error=None, partitions=dict.fromkeys(range(count)))
            for name, count in self.counts.items()
            if topic in (None, name)
        }
        return SimpleNamespace(topics=known)

    def list_offsets(
        self, asked: Mapping[TopicPartition, Any], request_timeout: float
    ) -> dict[TopicPartition, Future[Any]]:
        return {at: _unknown() if at.partition in self.leaderless else _known(self._answer()) for at in asked}

    def _answer(self) -> Any:
        return SimpleNamespace(leader_epoch=self.epoch())


def _unknown() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE)))
    return future


def _known(answer: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(answer)
    return future


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A message of Kafka."""

    at: TopicPartition
    key_bytes: bytes = b""
    value_bytes: bytes | None = None
    failure: KafkaError | None = None
    appended_ms: int | None = None

    def error(self) -> KafkaError | None:
        return self.failure

    def topic(self) -> str:
        return self.at.topic

    def partition(self) -> int:
        return self.at.partition

    def offset(self) -> int:
        return self.at.offset

    def key(self) -> bytes:
        return self.key_bytes

    def value(self) -> bytes | None:
        return self.value_bytes

    def timestamp(self) -> tuple[int, int]:
        if self.appended_ms is None:
            return TIMESTAMP_NOT_AVAILABLE, 0
        return TIMESTAMP_LOG_APPEND_TIME, self.appended_ms


class Logs:
    """Topics of a broker, and the consumers that read them to their ends, outside of a group.

    Attributes:
        partitions: of each topic.
        lows: first offset that a topic's partition still has.
        silent: it delivers nothing.
        errors: delivered next, in the place of records.
        time: passes while a client waits in vain.
        closed: number of clients closed.
    """

    def __init__(self, partitions: int = 1, time: FakeTime | None = None) -> None:
        self.partitions = partitions
        self.time = time or FakeTime()
        self.records: defaultdict[tuple[str, int], list[LogRecord]] = defaultdict(list)
        self.lows: dict[tuple[str, int], int] = {}
        self.silent = False
        self.errors: list[KafkaError] = []
        self.closed = 0

    def put(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        partition: int = 0,
        appended_ms: int | None = None,
    ) -> int:
        """Append a record; its offset."""
        log = self.records[topic, partition]
        log.append(LogRecord(TopicPartition(topic, partition, len(log)), key, value, None, appended_ms))
        return len(log) - 1

    def clients(self) -> KafkaClients:
        return clients(consumer=lambda _config: LogReader(self))


class LogReader:
    """A consumer of `Logs` with `enable.partition.eof`."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._next: dict[tuple[str, int], int] = {}
        self._told: dict[tuple[str, int], int] = {}  # the end of which it has told

    def list_topics(self, topic: str, timeout: float) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=range(self._logs.partitions))})

    def get_watermark_offsets(self, at: TopicPartition, timeout: float) -> tuple[int, int]:
        place = at.topic, at.partition
        return self._logs.lows.get(place, 0), len(self._logs.records[place])

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        self._next = {
            (at.topic, at.partition): max(at.offset, self._logs.lows.get((at.topic, at.partition), 0))
            for at in partitions
        }
        self._told = {}

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        for at in partitions:
            del self._next[at.topic, at.partition]

    def unassign(self) -> None:
        self._next = {}

    def consume(self, count: int, timeout: float) -> list[LogRecord]:
        if self._logs.errors:
            return [LogRecord(TopicPartition("", 0), failure=self._logs.errors.pop(0))]
        found = [] if self._logs.silent else self._records(count)
        if len(found) < count:
            self._logs.time.sleep(timeout)
        return found

    def _records(self, count: int) -> list[LogRecord]:
        found: list[LogRecord] = []
        for place, begin in self._next.items():
            log = self._logs.records[place]
            if self._told.get(place) == len(log) or len(found) == count:
                continue
            given = log[begin : begin + count - len(found)]
            found += given
            self._next[place] = begin + len(given)
            if begin + len(given) >= len(log) and len(found) < count:
                end = TopicPartition(*place, len(log))
                found.append(LogRecord(end, failure=KafkaError(KafkaError._PARTITION_EOF)))
                self._told[place] = len(log)
        return found

    def close(self) -> None:
        self._logs.closed += 1
