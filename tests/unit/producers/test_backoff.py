from __future__ import annotations

from producers.backoff import Backoff
from producers.clock_offset import ClockOffset


def test_waits_double_up_to_the_cap_and_start_anew_after_a_success() -> None:
    backoff = Backoff(lambda: 1.0, first_s=1.0, cap_s=8.0)
    assert [backoff.failed() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    backoff.succeeded()
    assert backoff.failed() == 1.0


def test_jitter_is_full_but_never_below_what_the_other_side_asked_for() -> None:
    backoff = Backoff(lambda: 0.0)
    assert backoff.failed() == 0.0
    assert backoff.failed(30.0) == 30.0


def test_failures_without_end_stay_at_the_cap() -> None:
    backoff = Backoff(lambda: 1.0)
    assert max(backoff.failed() for _ in range(5_000)) == 60.0


def test_the_offset_of_the_shortest_round_trip_wins() -> None:
    offset = ClockOffset()
    assert offset.offset_ms == 0.0
    offset.receive(1_000, 5_100, 1_200)
    offset.receive(2_000, 6_005, 2_010)
    offset.receive(3_000, 7_900, 4_000)
    assert (offset.offset_ms, offset.round_trip_ms) == (4_000.0, 10)


def test_a_clock_that_was_set_makes_older_samples_void() -> None:
    offset = ClockOffset()
    offset.receive(1_000, 5_005, 1_010)
    offset.receive(2_000, 3_606_100, 2_200)
    assert offset.offset_ms == 3_604_000.0
