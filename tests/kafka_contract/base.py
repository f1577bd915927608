"""What the cases of the contract share: the place they run at, clients, and waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import pytest
from confluent_kafka import (
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec

from shared.kafka import (
    HEARTBEAT_MS,
    Config,
    KafkaClients,
    admin_config,
    cause,
    consumer_config,
    producer_config,
)
from shared.last_resort import ended_after

# The client's own: it sees a broker's answer within a second, and a member's departure within a few.
WITHIN_S: Final = 30.0
TURN_S: Final = 0.05
# Members learn of one by their heartbeats.
_REBALANCE_S: Final = 2.5 * HEARTBEAT_MS / 1_000
_CLOSED_S: Final = 60.0
# The shortest that brokers allow.
SESSION_MS: Final = 6_000


class Place(Protocol):
    """Somewhere Kafka runs, used by nobody else at the time.

    Attributes:
        clients: of the test's process.
        address: for the settings of clients.
    """

    clients: KafkaClients
    address: str

    def create(self, topic: str, partitions: int, config: Mapping[str, str]) -> None: ...
    def now_s(self) -> float: ...
    def pause(self, seconds: float) -> None: ...
    def stop(self) -> None: ...
    def start(self) -> None: ...
    def compact(self, topic: str) -> None: ...

    def written(self, topic: str) -> int:
        """How much partition 0 has, for `lose`."""
        ...

    def apart(self, run: Apart, topic: str, most: int) -> list[Any]:
        """What `run` tells, up to so many things, in a process that need not come back from it."""
        ...

    def lose(self, topic: str, written: int) -> None:
        """A power cut, after which partition 0 has only so much; the broker is up again."""
        ...


Apart = Callable[[Place, str, Callable[[Any], None]], None]


class Calls:
    """Remembers what a member of a group was told, and does as it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[int]]] = []

    def subscribe(self, consumer: Any, topic: str) -> Any:
        consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        return consumer

    def _assigned(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._note("assign", partitions)
        consumer.incremental_assign(partitions)

    def _revoked(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._note("revoke", partitions)
        consumer.incremental_unassign(partitions)

    def _lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._note("lost", partitions)
        consumer.incremental_unassign(partitions)

    def _note(self, what: str, partitions: Sequence[TopicPartition]) -> None:
        self.told.append((what, sorted(at.partition for at in partitions)))

    @property
    def changes(self) -> list[tuple[str, list[int]]]:
        """Without those that name no partition: how many there are depends on the time."""
        return [(what, partitions) for what, partitions in self.told if partitions]

    @property
    def held(self) -> set[int]:
        held: set[int] = set()
        for what, partitions in self.told:
            held = held | set(partitions) if what == "assign" else held - set(partitions)
        return held


class Reports:
    """Delivery reports, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[int | None, int, int | None]] = []  # error code, partition, offset

    def __call__(self, error: KafkaError | None, record: Any) -> None:
        self.told.append((None if error is None else error.code(), record.partition(), record.offset()))

    @property
    def offsets(self) -> list[int | None]:
        return [offset for _, _, offset in self.told]


class Cases:
    """Builders; subclasses of the contract give a `place` fixture."""

    @pytest.fixture
    def topic(self, place: Place, unique: str) -> str:
        return self.create(place, f"one-{unique}", 1)

    @pytest.fixture
    def wide(self, place: Place, unique: str) -> str:
        """A topic of four partitions."""
        return self.create(place, f"wide-{unique}", 4)

    @pytest.fixture
    def consumers(self, place: Place) -> Iterator[list[Any]]:
        """Closed at the end of the test, one after another.

        Each when those that are left have been polled for longer than a rebalance takes: librdkafka may never
        come back from closing a member amid one. It holds the interpreter's lock then, which no time-out of a
        test could end.
        """
        made: list[Any] = []
        yield made
        while made:
            until_s = place.now_s() + (_REBALANCE_S if len(made) > 1 else 0.0)
            while place.now_s() < until_s:
                for consumer in made:
                    with suppress(RuntimeError, KafkaException):  # closed by the test, or fenced
                        consumer.consume(1_000, TURN_S)
                place.pause(TURN_S)
            with ended_after(_CLOSED_S):
                made.pop(0).close()

    def create(self, place: Place, name: str, partitions: int, **config: str) -> str:
        settings = {key.replace("_", "."): value for key, value in config.items()}
        place.create(name, partitions, {"message.timestamp.type": "LogAppendTime"} | settings)
        return name

    def producer(self, place: Place, **config: Any) -> Any:
        return place.clients.producer(producer_config(place.address, "contract") | dotted(config))

    def consumer(
        self, place: Place, consumers: list[Any], group: str, *, instance: str | None = None, **config: Any
    ) -> Any:
        settings: Config = consumer_config(place.address, group, "contract", instance_id=instance)
        settings |= {"enable.partition.eof": True, "session.timeout.ms": SESSION_MS}
        consumer = place.clients.consumer(settings | dotted(config))
        consumers.append(consumer)
        return consumer

    def write(self, place: Place, topic: str, values: Iterable[bytes], key: bytes = b"key") -> Reports:
        producer, reports = self.producer(place), Reports()
        for value in values:
            producer.produce(topic, value, key, on_delivery=reports)
        assert producer.flush(WITHIN_S) == 0
        return reports

    def until(
        self,
        place: Place,
        done: Callable[[], object],
        *consumers: Any,
        within_s: float = WITHIN_S,
        errors: bool = False,
        away: bool = False,
    ) -> list[Any]:
        """Poll all consumers until `done`; what they gave, without ends of partitions.

        Args:
            errors: whether others are expected.
            away: as in `records_of`.
        """
        deadline_s = place.now_s() + within_s
        given: list[Any] = []
        while not done():
            assert place.now_s() < deadline_s, f"not within {within_s} s"
            if not consumers:
                place.pause(TURN_S)
            for consumer in consumers:
                messages = consumer.consume(1_000, TURN_S)
                given += messages if errors else records_of(messages, away=away)
        return given

    def rest(self, place: Place, calls: Sequence[Calls], *members: Any) -> None:
        """Poll a group's members until they have been told nothing for longer than a rebalance takes.

        One is often followed by another. Who leaves amid one may stay a member until its session ends: a
        broker reads a request only when it has answered the one before, and a join when all have joined.
        """
        told, since_s = -1, place.now_s()
        while place.now_s() - since_s < _REBALANCE_S:
            for member in members:
                records_of(member.consume(1_000, TURN_S))
            now = sum(len(each.told) for each in calls)
            if now != told:
                told, since_s = now, place.now_s()

    def read(self, place: Place, consumer: Any, count: int, within_s: float = WITHIN_S) -> list[Any]:
        """So many records or errors, ends of partitions among them."""
        deadline_s = place.now_s() + within_s
        given: list[Any] = []
        while len(given) < count:
            assert place.now_s() < deadline_s, f"{len(given)} of {count} within {within_s} s"
            given += consumer.consume(count - len(given), TURN_S)
        return given

    def nothing(self, consumer: Any, seconds: float, *, away: bool = False) -> None:
        assert records_of(consumer.consume(10, seconds), away=away) == []

    def until_records(self, place: Place, reader: Any, count: int, *, away: bool = False) -> list[Any]:
        given: list[Any] = []
        deadline_s = place.now_s() + WITHIN_S
        while len(given) < count:
            assert place.now_s() < deadline_s, f"{len(given)} of {count} records"
            given += records_of(reader.consume(count, TURN_S), away=away)
        return given

    def ends(self, place: Place, topic: str, **how: float) -> Any:
        # Any: the published types lack the epoch.
        admin: Any = place.clients.admin(admin_config(place.address))
        asked = {TopicPartition(topic, 0): OffsetSpec.latest()}
        (answer,) = admin.list_offsets(asked, **how).values()
        return answer.result(10)


def dotted(config: Mapping[str, Any]) -> Config:
    return {name.replace("_", ".") if name != "error_cb" else name: value for name, value in config.items()}


def records_of(messages: Iterable[Any], *, away: bool = False) -> list[Any]:
    """Without ends of partitions; other errors fail the test.

    Args:
        away: the broker is, or was: librdkafka may say so of a request that it repeats by itself.
    """
    codes = {message.error().code() for message in messages if message.error() is not None}
    assert codes <= {KafkaError._PARTITION_EOF, *((KafkaError._TRANSPORT,) if away else ())}, codes
    return [message for message in messages if message.error() is None]


def codes_of(messages: Iterable[Any]) -> list[int]:
    return [message.error().code() for message in messages if message.error() is not None]


def failure_of(ask: Callable[[], Any]) -> int | None:
    """The code of the error that it raises."""
    try:
        ask()
    except KafkaException as error:
        return cause(error).code()
    return None
