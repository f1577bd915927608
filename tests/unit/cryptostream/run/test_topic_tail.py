"""Records of topics as they come, without a group."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, Producer

from cryptostream.run import topic_tail
from cryptostream.run.broker import MemoryBroker
from cryptostream.run.topic_tail import TopicTail
from shared.topics import LEDGER, METRICS, TRADES
from tests.kafka_doubles import Logs


@pytest.fixture
def address() -> Iterator[str]:
    broker = MemoryBroker("as asked", ("1m",))
    yield broker.address
    broker.stop()


def publish(address: str, *records: tuple[str, bytes | None]) -> None:
    producer = Producer({"bootstrap.servers": address, "log_level": 0})
    for topic, value in records:
        producer.produce(topic, value)
    assert producer.flush(10) == 0


def read(tail: TopicTail, count: int) -> list[tuple[str, bytes]]:
    """At least so many records, and those that come with them."""
    records: list[tuple[str, bytes]] = []
    give_up_s = time.monotonic() + 10
    while len(records) < count and time.monotonic() < give_up_s:
        records += tail.poll(0.2)
    return records


def test_from_the_beginning_it_reads_what_was_there_and_what_comes(address: str) -> None:
    publish(address, (LEDGER, b"1"), (METRICS, b"2"), (TRADES, b"of no concern"))
    tail = TopicTail(address, (LEDGER, METRICS), "test.tail", from_beginning=True, memory=True)
    assert sorted(read(tail, 2)) == [(LEDGER, b"1"), (METRICS, b"2")]
    publish(address, (LEDGER, None), (LEDGER, b"3"))  # a tombstone has nothing to read
    assert read(tail, 1) == [(LEDGER, b"3")]
    assert list(tail.poll(0.0)) == []
    tail.close()


def test_an_end_that_was_reached_before_it_was_asked_for_proves_nothing(address: str) -> None:
    tail = TopicTail(address, (LEDGER, METRICS), "test.tail", from_beginning=True, memory=True)
    publish(address, (LEDGER, b"1"))
    assert read(tail, 1) == [(LEDGER, b"1")]
    assert not tail.unread  # nothing was asked
    for value in (b"2", b"3"):
        publish(address, (LEDGER, value), (LEDGER, None))
        tail.ask_ends()
        assert set(tail.unread) == {LEDGER, METRICS}
        assert read_to_ends(tail) == [(LEDGER, value)]
    tail.close()


def read_to_ends(tail: TopicTail) -> list[tuple[str, bytes]]:
    records: list[tuple[str, bytes]] = []
    give_up_s = time.monotonic() + 10
    while tail.unread and time.monotonic() < give_up_s:
        records += tail.poll(0.2)
    assert not tail.unread
    return records


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Logs:
    logs = Logs(partitions=2)
    monkeypatch.setattr(topic_tail, "KAFKA", logs.clients())
    return logs


def test_polls_that_fail_leave_it_unread_and_say_why(logs: Logs) -> None:
    tail = TopicTail("nowhere", (LEDGER,), "test.tail", from_beginning=True)
    list(tail.poll(0.1))
    tail.ask_ends()
    logs.put(LEDGER, b"", b"late", partition=1)
    logs.errors = [KafkaError(KafkaError._TRANSPORT)]
    logs.silent = True
    for _ in range(50):
        assert list(tail.poll(0.1)) == []
    assert tail.unread == {LEDGER: KafkaError(KafkaError._TRANSPORT).str()}
    logs.silent = False
    assert list(tail.poll(0.1)) == [(LEDGER, b"late")]
    assert tail.unread == {}


def test_partitions_added_since_the_start_are_read_from_their_beginning(logs: Logs) -> None:
    tail = TopicTail("nowhere", (LEDGER,), "test.tail", from_beginning=False)
    logs.partitions = 3
    logs.put(LEDGER, b"", b"1", partition=2)
    assert list(tail.poll(0.1)) == []
    tail.ask_ends()
    assert list(tail.poll(0.1)) == [(LEDGER, b"1")] and not tail.unread


def test_a_topic_whose_partitions_nobody_tells_is_unread(logs: Logs) -> None:
    logs.partitions = 0
    tail = TopicTail("nowhere", (LEDGER,), "test.tail", from_beginning=True)
    tail.ask_ends()
    list(tail.poll(0.1))
    assert tail.unread == {LEDGER: "a topic has no partitions"}
