"""Topics of a stream that no longer fit together."""

from __future__ import annotations

from typing import cast

import pytest
from confluent_kafka import Consumer, TopicPartition

from consumers.enrich.port import Enricher
from consumers.partitions.assigned import Partitions
from consumers.partitions.counts import grown, misfit
from consumers.streams import Stream, streams
from shared.errors import BrokerError
from shared.topics import (
    LEDGER,
    LEDGER_SNAPSHOT,
    TRADES,
    indicator_state_topic,
    klines_live_topic,
    klines_topic,
)
from tests.kafka_doubles import FakeAdmin, clients
from tests.unit.consumers.partitions.test_assigned import CLOSED, FakeConsumer

KLINES, STATE, LIVE = klines_topic("1m"), indicator_state_topic("1m"), klines_live_topic("1m")


def stream(name: str) -> Stream:
    (found,) = streams((name,), ("1m",), memory_broker=False)
    return found


@pytest.mark.parametrize(
    ("name", "counts", "named"),
    [
        ("klines", {KLINES: 6, STATE: 6, LIVE: 6}, None),
        ("klines", {KLINES: 12, STATE: 12, LIVE: 12}, None),
        # More of the state than there is use for does no harm.
        ("klines", {KLINES: 6, STATE: 12, LIVE: 6}, None),
        ("klines", {KLINES: 12, STATE: 6, LIVE: 12}, (KLINES, "12", STATE, "6")),
        ("klines", {KLINES: 6, STATE: 3, LIVE: 6}, (KLINES, "6", STATE, "3")),
        ("klines", {KLINES: 12, STATE: 12, LIVE: 6}, (KLINES, "12", LIVE, "6")),
        ("klines", {KLINES: 6}, None),
        ("ledger", {LEDGER: 12, LEDGER_SNAPSHOT: 6}, (LEDGER, "12", LEDGER_SNAPSHOT, "6")),
        ("trades", {TRADES: 12}, None),
    ],
)
def test_both_counts_and_the_command_are_named(
    name: str, counts: dict[str, int], named: tuple[str, ...] | None
) -> None:
    said = misfit(stream(name), counts)
    if named is None:
        assert said is None
    else:
        assert said is not None
        assert all(word in said for word in named)
        assert said.endswith(f"cryptostream topics --rebuild {named[0]}")


def test_a_topic_without_state_is_followed_with_a_word() -> None:
    assert "--rebuild market.trades" in str(grown(stream("trades"), 6, 12))
    assert "12 partitions, and had 6" in str(grown(stream("quotes"), 6, 12))
    assert [grown(stream("trades"), *counts) for counts in ((None, 6), (6, 6), (6, None))] == [None] * 3
    assert grown(stream("klines"), 6, 12) is None


def test_an_assignment_of_a_raised_topic_is_refused_before_anything_is_read() -> None:
    kafka = FakeConsumer()
    partitions = Partitions(
        stream("klines"),
        cast(Enricher, object()),  # must not be asked
        cast(Consumer, kafka),
        {"bootstrap.servers": ""},
        memory_broker=False,
        kafka=clients(admin=lambda _config: FakeAdmin(counts={KLINES: 12, STATE: 6, LIVE: 6})),
    )
    with pytest.raises(BrokerError, match=r"has 12 partitions and .* only 6"):
        partitions.assign([TopicPartition(CLOSED, 7)], 0)
    assert kafka.assigned == {}
