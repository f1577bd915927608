"""What becomes of records that a real broker will not have."""

from __future__ import annotations

import os
import time
import uuid

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from producers.publisher import Publisher
from shared.dead_letters import Origin, dead_letter
from shared.errors import BrokerError

_DEADLINE_S = 60.0


@pytest.fixture
def narrow_topic(kafka_bootstrap_servers: str) -> str:
    """A topic that takes records of at most a kilobyte."""
    name = f"narrow-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap_servers})
    topic = NewTopic(name, num_partitions=1, replication_factor=1, config={"max.message.bytes": "1000"})
    admin.create_topics([topic])[name].result(30)
    return name


def poll_until_failure(publisher: Publisher) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline:
        publisher.poll()
        time.sleep(0.02)


def test_a_record_that_the_broker_refuses_ends_the_producer_with_a_clear_line(
    kafka_bootstrap_servers: str, narrow_topic: str
) -> None:
    publisher = Publisher(kafka_bootstrap_servers)
    publisher.send(narrow_topic, b"key", os.urandom(5_000))  # nobody follows it
    with pytest.raises(BrokerError, match=r"the producer cannot go on: .*; see `cryptostream topics`"):
        poll_until_failure(publisher)


def test_a_dead_letter_that_the_broker_refuses_is_counted_and_the_streams_go_on(
    kafka_bootstrap_servers: str, narrow_topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.dead_letters.DEAD_LETTERS", narrow_topic)
    publisher = Publisher(kafka_bootstrap_servers)
    origin = Origin("a test", "websocket:btcusdc@trade", -1, -1, "producer")
    for size in (10, 5_000, 10):
        publisher.send_dead_letter(dead_letter(origin, b"key", os.urandom(size)))
        publisher.send(narrow_topic, b"key", b"value")
    publisher.flush_now(_DEADLINE_S)  # raises what ends the service
    assert (publisher.outstanding, publisher.dead_letters.outstanding) == (0, 0)
    assert publisher.dead_letters.lost == 1


def test_records_that_it_takes_are_counted_down_and_told(
    kafka_bootstrap_servers: str, narrow_topic: str
) -> None:
    publisher = Publisher(kafka_bootstrap_servers)
    told: list[int] = []
    for number in range(100):
        follow = (lambda _partition, offset: told.append(offset)) if number % 10 == 0 else None
        publisher.send(narrow_topic, b"key", b"value", follow)
    assert publisher.outstanding > 0
    publisher.flush_now(_DEADLINE_S)
    assert (publisher.outstanding, publisher.delivered) == (0, 100)
    assert told == list(range(0, 100, 10))
