"""Back-pressure and start of the publisher, without a broker."""

from __future__ import annotations

import pytest

from producers.publisher import FULL_FOR_S, Backpressure, Change, Publisher
from shared.errors import BrokerUnavailable

NOWHERE = "127.0.0.1:1"


def test_a_full_queue_holds_the_caller_back_and_loses_nothing() -> None:
    publisher = Publisher(NOWHERE, queue_messages=100)
    records = 103
    assert publisher.congested_s == 0.0
    for _ in range(records):
        publisher.send("market.trades", b"key", b"value")
    publisher.poll()
    assert publisher.congested
    assert publisher.congested_s > 0.0
    # librdkafka counts what it has to say of the broker, too.
    assert publisher.outstanding >= records


def test_a_broker_that_takes_nothing_is_named() -> None:
    publisher = Publisher(NOWHERE)
    publisher.send("market.trades", b"key", b"value")
    with pytest.raises(BrokerUnavailable, match=r"KAFKA_BOOTSTRAP_SERVERS: 127\.0\.0\.1:1 has not taken 1 "):
        publisher.flush_now(0.3)


def test_a_queue_that_is_full_for_a_moment_only_is_no_reason() -> None:
    backpressure = Backpressure(1_000)
    assert backpressure.step(0.0, 900) is None
    assert backpressure.step(FULL_FOR_S - 0.1, 1_001) is None
    assert backpressure.step(0.0, 1_000) is None
    assert backpressure.entered == 0


def test_a_queue_that_stays_full_ends_the_receiving_once() -> None:
    backpressure = Backpressure(1_000)
    assert backpressure.step(FULL_FOR_S, 1_001) is Change.SUSPEND
    assert backpressure.active
    assert backpressure.step(FULL_FOR_S + 1, 1_001) is None
    assert backpressure.entered == 1


def test_receiving_begins_again_when_the_queue_is_nearly_empty() -> None:
    backpressure = Backpressure(1_000)
    backpressure.step(FULL_FOR_S, 1_001)
    assert backpressure.step(0.0, 800) is None
    assert backpressure.step(0.5, 50) is None
    assert backpressure.step(0.0, 100) is Change.RESUME
    assert not backpressure.active
    assert backpressure.step(FULL_FOR_S, 1_001) is Change.SUSPEND
    assert backpressure.entered == 2
