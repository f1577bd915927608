"""Back-pressure and start of the publisher, without a broker."""

from __future__ import annotations

import pytest

from producers.publisher import Publisher
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
