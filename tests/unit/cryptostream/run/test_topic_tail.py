"""Records of topics as they come, without a group."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from cryptostream.run.broker import MemoryBroker
from cryptostream.run.topic_tail import TopicTail
from shared.topics import LEDGER, METRICS, TRADES


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
