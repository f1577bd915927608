"""How long a stopping run waits for the store."""

from __future__ import annotations

from cryptostream.embedded.drain import Drain, DrainState

WAITING, COMPLETE, GIVEN_UP = DrainState.WAITING, DrainState.COMPLETE, DrainState.GIVEN_UP


def test_it_is_complete_when_nothing_is_missing_and_nothing_comes_any_more():
    drain = Drain(100.0)
    assert drain.step(100.1, expected=10, missing=4) is WAITING
    assert drain.step(100.5, expected=12, missing=0) is WAITING
    assert drain.step(101.4, expected=12, missing=0) is WAITING
    assert drain.step(101.5, expected=12, missing=0) is COMPLETE


def test_expectations_read_late_are_waited_for():
    drain = Drain(0.0)
    drain.step(0.0, expected=10, missing=0)
    assert drain.step(0.9, expected=11, missing=1) is WAITING
    assert drain.step(1.5, expected=11, missing=1) is WAITING


def test_fifteen_seconds_without_progress_give_up():
    drain = Drain(0.0)
    drain.step(0.0, expected=10, missing=5)
    drain.step(10.0, expected=10, missing=4)
    assert drain.step(24.9, expected=10, missing=4) is WAITING
    assert drain.step(25.0, expected=10, missing=4) is GIVEN_UP


def test_slow_progress_is_cut_off_after_a_minute():
    drain = Drain(0.0)
    states = [drain.step(float(second), expected=100, missing=100 - second) for second in range(61)]
    assert states == [WAITING] * 60 + [GIVEN_UP]
