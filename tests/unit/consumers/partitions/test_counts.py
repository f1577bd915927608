"""Topics of a stream that no longer fit together."""

from __future__ import annotations

from typing import cast

import pytest
from confluent_kafka import Consumer, TopicPartition

from consumers.enrich.port import Enricher
from consumers.ledger_account import Account
from consumers.ledger_incidents import SeriesIncidents
from consumers.ledger_snapshot import PARTITION_KEY, PartitionSnapshot, SeriesSnapshot
from consumers.partitions.assigned import Partitions
from consumers.partitions.counts import grown, misfit, outgrown, separated
from consumers.streams import Stream, streams
from shared.errors import BrokerError
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries
from shared.partitioner import partition_of
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
from tests.unit.consumers.partitions.test_states import snapshot

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


KEY = b"binance:BTCUSDC"
OF_SIX, OF_TWELVE = partition_of(KEY, 6), partition_of(KEY, 12)


def ledger_state() -> dict[bytes, bytes]:
    series = LedgerSeries("binance", "BTCUSDC", "trades")
    of = SeriesSnapshot(series, 5, 0, Account(series, 9), SeriesIncidents(), IdRanges())
    return {
        of.key: of.encode(),
        PARTITION_KEY: PartitionSnapshot(5, series=dict.fromkeys("abcd", 5)).encode(),
    }


def test_a_topic_that_got_more_partitions_together_with_its_state_topic_is_refused() -> None:
    said = str(outgrown(stream("ledger"), 6, 12))
    assert "topic pipeline.ledger has 12 partitions, and had 6 when this consumer started" in said
    assert said.endswith("cryptostream topics --rebuild pipeline.ledger")
    assert [outgrown(stream("klines"), *counts) for counts in ((None, 6), (6, 6), (6, None))] == [None] * 3
    assert outgrown(stream("trades"), 6, 12) is None


@pytest.mark.parametrize(
    ("name", "state"),
    [("klines", {KEY: snapshot(5, 7)}), ("ledger", ledger_state())],
    ids=["klines", "ledger"],
)
def test_a_state_that_lies_where_its_records_no_longer_go_is_named(
    name: str, state: dict[bytes, bytes]
) -> None:
    assert OF_SIX != OF_TWELVE
    of = stream(name)
    said = str(separated(of, 12, {0: {}, OF_SIX: state}))
    assert f"records of binance:BTCUSDC go to {OF_TWELVE}, but its state is on {OF_SIX}" in said
    assert said.endswith(f"cryptostream topics --rebuild {of.topic}")
    assert separated(of, 12, {OF_TWELVE: state}) is None
    assert separated(of, 6, {OF_SIX: state}) is None
    # What is no state says nothing, nor does an unknown count.
    assert separated(of, 12, {OF_SIX: dict.fromkeys(state, b"garbage")}) is None
    assert separated(of, None, {OF_SIX: state}) is None


def test_a_consumer_ends_when_its_topic_and_its_state_topic_are_raised_together() -> None:
    counts = {CLOSED: 6, STATE: 6, LIVE: 6}
    partitions = Partitions(
        stream("klines"),
        cast(Enricher, object()),
        cast(Consumer, FakeConsumer()),
        {"bootstrap.servers": ""},
        memory_broker=False,
        kafka=clients(admin=lambda _config: FakeAdmin(counts=counts)),
    )
    partitions._check_counts()
    partitions._check_counts()
    counts.update({CLOSED: 12, STATE: 12, LIVE: 12})
    with pytest.raises(BrokerError, match="12 partitions, and had 6 when this consumer started"):
        partitions.assign([TopicPartition(CLOSED, 7)], 0)
