"""What is asked of Kafka about a partition when the broker is not ready to tell."""

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException

from consumers.partitions import offsets
from shared import kafka_reader
from shared.errors import BrokerUnavailable


class JustStarted:
    """A broker that knows nothing of a partition the first times it is asked."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def get_watermark_offsets(self, at: Any, timeout: float) -> tuple[int, int]:
        if self.refusals:
            self.refusals -= 1
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        return 3, 7


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_reader, "_AGAIN_S", 0.0)


def test_a_broker_that_has_just_come_back_is_asked_again() -> None:
    assert offsets.end_of(cast(Consumer, JustStarted(refusals=2)), "market.book", 0) == 7


def test_a_broker_that_never_tells_is_named_with_the_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offsets, "REQUEST_TIMEOUT_S", 0.05)
    with pytest.raises(
        BrokerUnavailable, match=r"market\.book: Kafka does not tell its offsets: .*partition"
    ):
        offsets.end_of(cast(Consumer, JustStarted(refusals=10**9)), "market.book", 0)
