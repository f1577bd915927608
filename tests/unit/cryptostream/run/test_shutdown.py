"""When a stopping run has a quiet source, and how long it waits for the store."""

from __future__ import annotations

from cryptostream.run.shutdown import Drain, DrainState, QuiescenceDetector, all_fetched

WAITING, COMPLETE, GIVEN_UP = DrainState.WAITING, DrainState.COMPLETE, DrainState.GIVEN_UP


def test_two_reports_alike_after_the_source_fell_silent_are_quiescent() -> None:
    detector = QuiescenceDetector(10.0)
    assert not detector.receive(9.9, 500, fetched=True)
    assert not detector.receive(10.5, 500, fetched=True)
    assert not detector.receive(10.5, 500, fetched=True)  # the same report again says nothing new
    assert detector.receive(11.5, 500, fetched=True)


def test_a_message_more_begins_the_wait_anew() -> None:
    detector = QuiescenceDetector(0.0)
    detector.receive(1.0, 500, fetched=True)
    assert not detector.receive(2.0, 501, fetched=True)
    assert detector.receive(3.0, 501, fetched=True)


def test_fetches_are_waited_for() -> None:
    detector = QuiescenceDetector(0.0)
    detector.receive(1.0, 5, fetched=False)
    assert not detector.receive(2.0, 5, fetched=False)
    assert detector.receive(3.0, 5, fetched=True)
    assert detector.receive(3.0, 5, fetched=True)  # and stays so as long as no other report comes


def test_a_producer_that_fetches_or_is_cold_says_so() -> None:
    assert all_fetched({"pending_fills": 0.0, "warm": 1.0})
    for gauges in ({"pending_fills": 1.0, "warm": 1.0}, {"pending_fills": 0.0, "warm": 0.0}, {}):
        assert not all_fetched(gauges)


def test_a_live_exchange_never_falls_silent() -> None:
    detector = QuiescenceDetector(0.0, source_silent=False)
    assert detector.receive(1.0, 5, fetched=True)
    assert not detector.receive(2.0, 6, fetched=False)


def test_it_is_complete_when_nothing_is_missing_and_nothing_comes_any_more() -> None:
    drain = Drain(100.0)
    assert drain.step(100.1, expected=10, missing=4, read=True) is WAITING
    assert drain.step(100.5, expected=12, missing=0, read=True) is WAITING
    assert drain.step(101.4, expected=12, missing=0, read=True) is WAITING
    assert drain.step(101.5, expected=12, missing=0, read=True) is COMPLETE


def test_expectations_read_late_are_waited_for() -> None:
    drain = Drain(0.0)
    drain.step(0.0, expected=10, missing=0, read=True)
    assert drain.step(0.9, expected=11, missing=1, read=True) is WAITING
    assert drain.step(1.5, expected=11, missing=1, read=True) is WAITING


def test_fifteen_seconds_without_progress_give_up() -> None:
    drain = Drain(0.0)
    drain.step(0.0, expected=10, missing=5, read=True)
    drain.step(10.0, expected=10, missing=4, read=True)
    assert drain.step(24.9, expected=10, missing=4, read=True) is WAITING
    assert drain.step(25.0, expected=10, missing=4, read=True) is GIVEN_UP


def test_slow_progress_is_cut_off_after_a_minute() -> None:
    drain = Drain(0.0)
    states = [
        drain.step(float(second), expected=100, missing=100 - second, read=True) for second in range(61)
    ]
    assert states == [WAITING] * 60 + [GIVEN_UP]


def test_what_was_not_read_proves_nothing() -> None:
    drain = Drain(0.0)
    assert drain.step(0.0, expected=10, missing=0, read=False) is WAITING
    assert drain.step(20.0, expected=10, missing=0, read=False) is WAITING
    # Read at last, it is waited for as usual.
    assert drain.step(20.1, expected=12, missing=2, read=True) is WAITING
    assert drain.step(35.0, expected=12, missing=0, read=True) is WAITING
    assert drain.step(36.0, expected=12, missing=0, read=True) is COMPLETE


def test_what_is_never_read_is_given_up_after_a_minute() -> None:
    drain = Drain(0.0)
    states = [drain.step(float(second), expected=10, missing=0, read=False) for second in range(61)]
    assert states == [WAITING] * 60 + [GIVEN_UP]
