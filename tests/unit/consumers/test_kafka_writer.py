"""What consumers write to Kafka: what was acknowledged last, and what a client that is done for says."""

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumers.kafka_writer import KafkaWriter
from consumers.marks import Spot, crc_of
from shared.errors import BrokerError
from shared.topics import DEAD_LETTERS, LEDGER


class Acknowledged:
    def __init__(self, topic: str, partition: int, offset: int, record: dict[str, bytes]) -> None:
        self._at, self._record = (topic, partition, offset), record

    def topic(self) -> str:
        return self._at[0]

    def partition(self) -> int:
        return self._at[1]

    def offset(self) -> int:
        return self._at[2]

    def key(self) -> bytes:
        return self._record["key"]

    def value(self) -> bytes:
        return self._record["value"]


class Client:
    """Acknowledges at each poll what was produced before, all in partition 2, until it fails for good."""

    def __init__(self) -> None:
        self.failed = False
        self._waiting: list[tuple[Any, Acknowledged]] = []
        self._count = 0

    def produce(self, topic: str, *, on_delivery: Any, **record: Any) -> None:
        self._waiting.append((on_delivery, Acknowledged(topic, 2, self._count, record)))
        self._count += 1

    def poll(self, timeout: float) -> int:
        if self.failed:
            raise KafkaException(KafkaError(KafkaError._FATAL, "out of order sequence number"))
        for on_delivery, message in self._waiting:
            on_delivery(None, message)
        self._waiting.clear()
        return 0


def test_the_last_record_that_a_partition_acknowledged_is_known_by_its_content() -> None:
    kafka_writer = KafkaWriter(cast(Producer, Client()), "consumer-trades")
    assert kafka_writer.newest(LEDGER, 2) is None
    kafka_writer.send(LEDGER, b"k", b"one")
    kafka_writer.send(LEDGER, b"k", b"two")
    assert kafka_writer.flush(1.0)
    assert kafka_writer.newest(LEDGER, 2) == Spot(1, crc_of(b"k", b"two"))
    assert kafka_writer.newest(LEDGER, 3) is None


def test_a_client_that_has_failed_for_good_is_one_clear_line() -> None:
    client = Client()
    kafka_writer = KafkaWriter(cast(Producer, client), "consumer-trades")
    client.failed = True
    with pytest.raises(BrokerError, match="start it again"):
        kafka_writer.send(LEDGER, b"k", b"one")
    with pytest.raises(BrokerError, match="start it again"):
        kafka_writer.flush(1.0)


class Refusing(Client):
    """Refuses every dead letter, at once or at its delivery; takes all else."""

    def __init__(self, *, at_once: bool) -> None:
        super().__init__()
        self._at_once = at_once
        self._refused: list[tuple[Any, Acknowledged]] = []

    def produce(self, topic: str, *, on_delivery: Any, **record: Any) -> None:
        if topic != DEAD_LETTERS:
            super().produce(topic, on_delivery=on_delivery, **record)
        elif self._at_once:
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        else:
            self._refused.append((on_delivery, Acknowledged(topic, 2, -1, record)))

    def poll(self, timeout: float) -> int:
        for on_delivery, message in self._refused:
            on_delivery(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), message)
        self._refused.clear()
        return super().poll(timeout)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_dead_letter_that_kafka_refuses_is_counted_and_ends_nothing(
    at_once: bool, caplog: pytest.LogCaptureFixture
) -> None:
    kafka_writer = KafkaWriter(cast(Producer, Refusing(at_once=at_once)), "consumer-trades")
    kafka_writer.dead_point("market.trades", {"fields": {"a": 1}}, "a test")
    record = Acknowledged("market.trades", 1, 7, {"key": b"k", "value": b"v"})
    kafka_writer.dead_letter(cast(Message, record), "x")
    assert kafka_writer.flush(1.0)
    kafka_writer.send(LEDGER, b"k", b"one")
    assert kafka_writer.flush(1.0)
    assert (kafka_writer.dead_letters, kafka_writer.lost_letters) == (2, 2)
    assert len([line for line in caplog.messages if "could not be written" in line]) == 1
