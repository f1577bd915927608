"""Cooperative rebalancing: only what changes is touched, and a pause covers what comes while it lasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from consumers.enrich.klines import KlineEnricher
from consumers.partitions.assigned import Partitions
from consumers.streams import streams
from shared.topics import klines_live_topic, klines_topic
from tests.consumer_doubles import SumOfCloses

CLOSED, LIVE = klines_topic("1m"), klines_live_topic("1m")


def named(partitions: Sequence[TopicPartition]) -> set[tuple[str, int]]:
    return {(at.topic, at.partition) for at in partitions}


class FakeConsumer:
    """Keeps what librdkafka would: offsets by partition, and which of them are paused."""

    def __init__(self) -> None:
        self.assigned: dict[tuple[str, int], int] = {}
        self.paused: set[tuple[str, int]] = set()
        self.committed_at = 5

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        assert not named(partitions) & self.assigned.keys(), "assigned twice"
        self.assigned |= {(at.topic, at.partition): at.offset for at in partitions}

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        for at in named(partitions):
            del self.assigned[at]  # librdkafka refuses what is not assigned

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*at) for at in self.assigned]

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        assert named(partitions) <= self.assigned.keys()
        self.paused |= named(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self.paused -= named(partitions)

    def committed(self, partitions: Any, timeout: float) -> list[TopicPartition]:
        return [TopicPartition(at.topic, at.partition, self.committed_at) for at in partitions]

    def get_watermark_offsets(self, at: Any, timeout: float = 0, cached: bool = False) -> tuple[int, int]:
        return 0, 100


class Bench:
    def __init__(self) -> None:
        (stream,) = streams(("klines",), ("1m",), memory_broker=True)
        enricher = KlineEnricher(
            "1m", SumOfCloses(), live_interval_ms=0, keeps_state=False, rebuilt_from_store=True
        )
        self.kafka = FakeConsumer()
        self.partitions = Partitions(
            stream,
            enricher,
            cast(Consumer, self.kafka),
            {},
            memory_broker=True,
        )

    def assign(self, *numbers: int) -> None:
        self.partitions.assign([TopicPartition(CLOSED, number) for number in numbers], 0)

    def revoke(self, *numbers: int) -> None:
        self.partitions.revoke([TopicPartition(CLOSED, number) for number in numbers])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_live_topic_comes_and_goes_with_its_source(bench: Bench) -> None:
    bench.assign(0, 1)
    assert bench.kafka.assigned == {
        (CLOSED, 0): 5,
        (LIVE, 0): OFFSET_END,
        (CLOSED, 1): 5,
        (LIVE, 1): OFFSET_END,
    }
    bench.revoke(0)
    assert bench.kafka.assigned.keys() == {(CLOSED, 1), (LIVE, 1)}
    assert bench.partitions.holds(LIVE, 1)
    assert not bench.partitions.holds(LIVE, 0)


def test_what_stays_keeps_its_place(bench: Bench) -> None:
    bench.assign(0, 1)
    bench.partitions.positions[CLOSED][1] = 42
    bench.revoke(0)
    bench.assign(2)
    assert bench.partitions.positions == {CLOSED: {1: 42, 2: 5}}


def test_a_pause_covers_what_is_assigned_while_it_lasts(bench: Bench) -> None:
    bench.assign(0)
    bench.partitions.pause()
    bench.assign(1)
    assert bench.kafka.paused == bench.kafka.assigned.keys()
    bench.partitions.resume()
    assert bench.kafka.paused == set()


def test_a_partition_that_was_paused_and_comes_back_is_read(bench: Bench) -> None:
    bench.assign(0)
    bench.partitions.pause()
    bench.revoke(0)
    bench.partitions.resume()
    bench.assign(0)
    assert bench.kafka.paused == set()


def test_starting_over_reads_what_is_held_from_what_is_committed(bench: Bench) -> None:
    bench.assign(0, 1)
    bench.partitions.positions[CLOSED] |= {0: 50, 1: 60}
    bench.partitions.start_over(0)
    assert bench.partitions.positions == {CLOSED: {0: 5, 1: 5}}
    assert bench.kafka.assigned[CLOSED, 1] == 5


def test_what_never_came_to_be_assigned_can_be_given(bench: Bench) -> None:
    bench.assign(0)
    bench.revoke(0, 3)
    assert bench.kafka.assigned == {}


def test_abandoned_partitions_have_no_position_to_commit(bench: Bench) -> None:
    bench.assign(0)
    bench.partitions.abandon()
    assert bench.partitions.positions == {CLOSED: {}}
    bench.revoke(0)
    assert bench.kafka.assigned == {}
