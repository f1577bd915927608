"""`StepClock`, the smallest world."""

from __future__ import annotations

from tests.simulation.port import StepClock


def test_a_wait_ends_with_the_call_that_makes_it_ready() -> None:
    clock, happened = StepClock(), list[float]()
    clock.later(0.5, lambda: happened.append(clock.now_s()))
    clock.later(2.0, lambda: happened.append(clock.now_s()))
    clock.wait(lambda: bool(happened), 10.0)
    assert happened == [0.5]
    assert clock.now_s() == 0.5


def test_a_wait_that_is_never_ready_takes_its_time_out() -> None:
    clock = StepClock(wall_ms=1_000)
    clock.wait(lambda: False, 1.5)
    assert (clock.now_s(), clock.now_ms()) == (1.5, 2_500)


def test_a_wait_without_time_runs_nothing() -> None:
    clock, happened = StepClock(), list[int]()
    clock.later(0.0, lambda: happened.append(1))
    clock.wait(lambda: False, 0.0)
    assert not happened


def test_calls_due_at_one_time_keep_their_order() -> None:
    clock, happened = StepClock(), list[int]()
    for number in range(5):
        clock.later(0.1, lambda number=number: happened.append(number))  # type: ignore[misc]
    clock.advance(0.1)
    assert happened == [0, 1, 2, 3, 4]
