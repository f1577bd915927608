"""When processes are killed."""

from __future__ import annotations

from chaos.injector import KillPlan


def moments(plan: KillPlan, work_again_after_s: float) -> list[float]:
    """Seconds between a start and the next kill, for a process that takes so long to be at work."""
    waits, started_s = [], 0.0
    for step in range(100_000):
        now_s = step / 100
        if plan.step(now_s, at_work=now_s - started_s >= work_again_after_s):
            waits.append(now_s - started_s)
            started_s = now_s
    return waits


def test_kills_come_soon_after_the_process_is_at_work_or_in_its_start() -> None:
    plan = KillPlan(50, seed=7)
    waits = moments(plan, work_again_after_s=5.0)
    assert len(waits) == plan.done == 50
    assert plan.finished
    late = [wait for wait in waits if wait >= 5.0]
    early = [wait for wait in waits if wait < 5.0]
    assert len(early) == plan.early == 12
    assert all(5.2 <= wait <= 8.02 for wait in late)
    assert all(0.2 <= wait <= 3.02 for wait in early)


def test_the_same_seed_kills_at_the_same_moments_and_another_does_not() -> None:
    assert moments(KillPlan(8, 1), 1.0) == moments(KillPlan(8, 1), 1.0) != moments(KillPlan(8, 2), 1.0)


def test_a_process_that_never_comes_back_is_not_killed_again() -> None:
    plan = KillPlan(50, seed=7)
    assert moments(plan, work_again_after_s=1e9) == []
    assert not plan.finished
