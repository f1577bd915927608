"""Reading to the end, and asking a broker that is not ready; on the broker in memory where one is needed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from cryptostream.run.broker import MemoryBroker
from shared import kafka_reader
from shared.errors import BrokerError, BrokerUnavailable
from shared.kafka import KAFKA, consumer_config, producer_config
from shared.kafka_reader import (
    PartitionId,
    answered,
    cluster,
    fatal_alone,
    no_answer,
    passed_over,
    read_to_end,
    records_at,
    watermarks,
)
from shared.topics import TRADES

PARTITION: PartitionId = (TRADES, 2)
OTHER: PartitionId = (TRADES, 3)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A broker with ten records on one partition of a topic, and three on another."""
    broker = MemoryBroker("", [])
    producer = Producer(producer_config(broker.address, "test", memory_broker=True))
    for (topic, partition), count in ((PARTITION, 10), (OTHER, 3)):
        for number in range(count):
            producer.produce(topic, str(number).encode(), b"key", partition)
    assert producer.flush(30) == 0
    yield broker.address
    broker.stop()


@pytest.fixture
def consumer(address: str) -> Iterator[Consumer]:
    config = consumer_config(address, "test", "test", memory_broker=True)
    with closing(KAFKA.consumer({**config, "enable.partition.eof": True})) as made:
        yield made


class Broker:
    """Gives batches, then nothing; time passes with each of them."""

    def __init__(self, *batches: list[Any], seconds: float = 1.0) -> None:
        self._batches = list(batches)
        self._seconds = seconds
        self.now_s = 0.0

    def assign(self, _places: Any) -> None:
        """All partitions are read at once."""

    def consume(self, _count: int, _timeout_s: float) -> list[Any]:
        self.now_s += self._seconds
        return self._batches.pop(0) if self._batches else []

    def read(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[Any]:
        monkeypatch.setattr("shared.kafka_reader.time.monotonic", lambda: self.now_s)
        options = {"silent": "nothing comes", "unreadable": fatal_alone("cannot be read"), **options}
        return list(read_to_end(cast(Consumer, self), {PARTITION: 0}, **options))


class Heard:
    """A record, or an error instead; each at the next offset unless one is named."""

    _offsets = itertools.count()

    def __init__(self, code: int | None = None, offset: int | None = None) -> None:
        self._error = None if code is None else KafkaError(code)
        self._offset = next(self._offsets) if offset is None else offset

    def offset(self) -> int:
        return self._offset

    def error(self) -> KafkaError | None:
        return self._error

    def topic(self) -> str:
        return PARTITION[0]

    def partition(self) -> int:
        return PARTITION[1]


END = Heard(KafkaError._PARTITION_EOF)


def test_all_records_are_read_from_where_each_partition_is_to_begin(consumer: Consumer) -> None:
    messages = read_to_end(consumer, {PARTITION: 4, OTHER: 0}, silent="", unreadable=passed_over)
    found = sorted((message.partition(), message.offset()) for message in messages)
    assert found == [*((2, offset) for offset in range(4, 10)), *((3, offset) for offset in range(3))]


def test_a_partition_that_has_given_enough_is_left_and_can_be_read_again(consumer: Consumer) -> None:
    for _ in range(2):
        read: list[int] = []

        def enough(_topic: str, _partition: int, read: list[int] = read) -> bool:
            return len(read) >= 4

        records = read_to_end(
            consumer,
            {PARTITION: 0},
            silent="",
            unreadable=passed_over,
            batch=2,
            patience_s=10.0,
            enough=enough,
        )
        for message in records:
            read.append(message.offset() or 0)
        assert read == [0, 1, 2, 3]


def test_the_broker_may_be_silent_for_a_while_but_not_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    pause: list[list[Any]] = [[] for _ in range(29)]
    batches = [[Heard()], *pause, [Heard()], *pause, [Heard(), END]]
    assert len(Broker(*batches).read(monkeypatch, patience_s=30.0)) == 3
    with pytest.raises(BrokerUnavailable, match="nothing comes"):
        Broker([Heard()], *pause, [], [], [END]).read(monkeypatch, patience_s=30.0)


def test_records_of_a_log_that_loses_its_end_meanwhile_are_not_taken_for_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches = [[Heard(offset=3), Heard(offset=4)], [Heard(offset=3)], [END]]
    with pytest.raises(BrokerUnavailable, match="partition 2 lost its end while it was read"):
        Broker(*batches).read(monkeypatch)


def test_all_together_may_be_bounded_whether_records_come_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = [[Heard()] for _ in range(40)]
    assert len(Broker(*batches, [END]).read(monkeypatch, patience_s=30.0)) == 40
    batches = [[Heard()] for _ in range(20)]
    assert len(Broker(*batches, [END]).read(monkeypatch, patience_s=30.0, in_all=True)) == 20
    batches = [[] for _ in range(40)]
    with pytest.raises(BrokerUnavailable, match="nothing comes"):
        Broker(*batches, [END]).read(monkeypatch, patience_s=30.0, in_all=True)


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART])
def test_a_fatal_error_ends_the_reading_in_the_callers_words(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with pytest.raises(BrokerError, match=r"cannot be read: .+"):
        Broker([Heard(code)], [END]).read(monkeypatch)
    assert Broker([Heard(code)], [END]).read(monkeypatch, unreadable=passed_over) == []


def test_an_error_that_passes_does_not_end_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(Broker([Heard(KafkaError._TRANSPORT), Heard()], [END]).read(monkeypatch)) == 1


def test_a_record_is_given_by_its_offset_and_one_that_is_not_there_as_none(consumer: Consumer) -> None:
    for offset, value in ((7, b"7"), (10, None), (0, b"0")):
        found = records_at(consumer, {PARTITION: offset, OTHER: 1}, str, within_s=20.0)
        record, other = found[PARTITION], found[OTHER]
        assert (None if record is None else record.value()) == value
        assert other is not None
        assert other.value() == b"1"


def test_a_broker_that_needs_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_reader, "_AGAIN_S", 0.0)
    refusals = [KafkaError.LEADER_NOT_AVAILABLE, KafkaError._TIMED_OUT]

    def ask() -> str:
        if refusals:
            raise KafkaException(KafkaError(refusals.pop()))
        return "so"

    assert answered(ask, str) == "so"


def test_what_is_fatal_is_not_asked_again_but_by_the_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_reader, "_AGAIN_S", 0.0)
    asked = []

    def ask() -> str:
        asked.append(1)
        if len(asked) < 3:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        return "so"

    with pytest.raises(BrokerUnavailable, match=r"why: .*partition"):
        answered(ask, "why: {}".format)
    assert len(asked) == 1
    assert answered(ask, str, patient=True) == "so"


def test_watermarks_are_those_of_the_partition(consumer: Consumer) -> None:
    assert watermarks(consumer, OTHER, str)[0] == 0


def test_a_broker_that_is_not_there_is_named() -> None:
    nobody = "127.0.0.1:1"
    config = consumer_config(nobody, "test", "test") | {"log_level": 0}
    with (
        closing(KAFKA.consumer(config)) as made,
        pytest.raises(BrokerUnavailable, match=r"no Kafka answers at 127\.0\.0\.1:1"),
    ):
        cluster(made, silent=no_answer(nobody), within_s=0.5)
