"""Events are deleted when they are old and in a snapshot, never one of them alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from consumers.ledger_pruning import KEPT_MS, PERIOD_S, LedgerPruning
from shared.topics import LEDGER
from tests.builders import NOW_MS


def pruning_of(
    broker: Broker, covered: Callable[[], dict[int, int]], clock_s: Callable[[], float]
) -> LedgerPruning:
    return LedgerPruning(cast(AdminClient, broker), cast(Consumer, broker), covered, clock_s)


class Broker:
    """Says which offset is a week old, and records the deletions."""

    def __init__(self, week_old: dict[int, int]) -> None:
        self.week_old = week_old
        self.deleted: list[tuple[int, int]] = []
        self.refusal: Exception | None = None
        self.asked_ms: list[int] = []

    def offsets_for_times(self, partitions: list[TopicPartition], *, timeout: float) -> list[TopicPartition]:
        assert timeout > 0
        self.asked_ms += [at.offset for at in partitions]
        return [TopicPartition(LEDGER, at.partition, self.week_old[at.partition]) for at in partitions]

    def delete_records(
        self, ends: list[TopicPartition], *, request_timeout: float
    ) -> dict[Any, Future[None]]:
        assert request_timeout > 0
        self.deleted += [(end.partition, end.offset) for end in ends]
        answers: dict[Any, Future[None]] = {end: Future() for end in ends}
        for answer in answers.values():
            answer.set_exception(self.refusal) if self.refusal else answer.set_result(None)
        return answers


def test_only_what_is_old_and_covered_is_deleted() -> None:
    # Partition 0 is covered beyond a week, 1 is not (its consumer was away), 2 has nothing that old.
    broker = Broker({0: 500, 1: 500, 2: -1})
    pruning = pruning_of(broker, lambda: {0: 900, 1: 300, 2: 50}, lambda: 0.0)
    pruning(NOW_MS)
    assert broker.deleted == [(0, 500), (1, 300)]
    assert set(broker.asked_ms) == {NOW_MS - KEPT_MS}


def test_it_asks_once_an_hour_and_only_with_a_snapshot() -> None:
    clock, covered = [0.0], dict[int, int]()
    broker = Broker({0: 5})
    pruning = pruning_of(broker, lambda: covered, lambda: clock[0])
    pruning(NOW_MS)
    assert broker.deleted == []
    covered[0] = 3
    for clock[0] in (1.0, 2.0, PERIOD_S, PERIOD_S + 1.0):
        pruning(NOW_MS)
    assert broker.deleted == [(0, 3), (0, 3)]


def test_a_refusal_is_said_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = [0.0]
    broker = Broker({0: 5})
    broker.refusal = RuntimeError("not now")
    pruning = pruning_of(broker, lambda: {0: 9}, lambda: clock[0])
    for clock[0] in (0.0, 1.0, PERIOD_S):
        pruning(NOW_MS)
    assert "old events of partition 0 stay: not now" in caplog.text
    assert broker.deleted == [(0, 5), (0, 5)]
