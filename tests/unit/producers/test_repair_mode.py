"""When a producer stops receiving because Kafka takes nothing, and when it begins again."""

from __future__ import annotations

from producers.repair_mode import FULL_FOR_S, Change, RepairMode


def test_a_queue_that_is_full_for_a_moment_only_is_no_reason() -> None:
    mode = RepairMode(1_000)
    assert mode.step(0.0, 900) is None
    assert mode.step(FULL_FOR_S - 0.1, 1_001) is None
    assert mode.step(0.0, 1_000) is None
    assert mode.entered == 0


def test_a_queue_that_stays_full_ends_the_receiving_once() -> None:
    mode = RepairMode(1_000)
    assert mode.step(FULL_FOR_S, 1_001) is Change.SUSPEND
    assert mode.active
    assert mode.step(FULL_FOR_S + 1, 1_001) is None
    assert mode.entered == 1


def test_receiving_begins_again_when_the_queue_is_nearly_empty() -> None:
    mode = RepairMode(1_000)
    mode.step(FULL_FOR_S, 1_001)
    assert mode.step(0.0, 800) is None
    assert mode.step(0.5, 50) is None
    assert mode.step(0.0, 100) is Change.RESUME
    assert not mode.active
    assert mode.step(FULL_FOR_S, 1_001) is Change.SUSPEND
    assert mode.entered == 2
