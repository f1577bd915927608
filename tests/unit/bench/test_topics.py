"""Filling a topic waits for room, however long the broker takes."""

from __future__ import annotations

from typing import Any

import pytest

from bench.topics import send


class FullProducer:
    """A queue that is full for some calls; what it took."""

    def __init__(self, full: int) -> None:
        self.full = full
        self.taken: list[tuple[Any, ...]] = []
        self.polled: list[float] = []

    def produce(self, topic: str, value: bytes, key: bytes, partition: int, *, on_delivery: Any) -> None:
        if self.full:
            self.full -= 1
            raise BufferError("Local: Queue full")
        self.taken.append((topic, value, key, partition, on_delivery))

    def poll(self, timeout: float) -> None:
        self.polled.append(timeout)


def test_a_queue_that_stays_full_is_waited_for_and_each_record_is_taken_once() -> None:
    producer: Any = FullProducer(full=50)
    send(producer, "market.klines.1m", b"key", b"value")
    assert [taken[:4] for taken in producer.taken] == [("market.klines.1m", b"value", b"key", -1)]
    assert producer.polled == [0.1] * 50 + [0]


def test_a_record_that_was_not_taken_ends_the_filling() -> None:
    class Refusal:
        def str(self) -> str:
            return "no such topic"

    producer: Any = FullProducer(full=0)
    send(producer, "nowhere", b"key", b"value")
    with pytest.raises(RuntimeError, match="nowhere: no such topic"):
        producer.taken[0][4](Refusal(), None)
