"""Waits grow, are bounded, and are not the same for all."""

from __future__ import annotations

from shared.backoff import CAP_S, CONSUMER_CAP_S, FIRST_S, Backoff, consumer_backoff


def test_waits_double_up_to_the_cap_and_start_anew_after_a_success() -> None:
    backoff = Backoff(lambda: 1.0, first_s=1.0, cap_s=8.0)
    assert [backoff.failed() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    backoff.succeeded()
    assert backoff.failed() == 1.0


def test_jitter_is_full_but_never_below_what_the_other_side_asked_for() -> None:
    backoff = Backoff(lambda: 0.0)
    assert backoff.failed() == 0.0
    assert backoff.failed(30.0) == 30.0
    assert Backoff(lambda: 1.0).failed(10_000.0) == 10_000.0 + FIRST_S


def test_failures_without_end_stay_at_the_cap() -> None:
    backoff = Backoff(lambda: 1.0)
    assert max(backoff.failed() for _ in range(5_000)) == CAP_S == 60.0


def test_a_consumers_waits_double_up_to_its_cap() -> None:
    backoff = consumer_backoff(lambda: 1.0)
    delays = [backoff.failed() for _ in range(8)]
    assert delays[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert delays[-1] == CONSUMER_CAP_S == 15.0
    backoff.succeeded()
    assert backoff.failed() == FIRST_S


def test_half_of_a_consumers_wait_is_chance() -> None:
    assert consumer_backoff(lambda: 0.0).failed() == FIRST_S / 2


def test_a_consumer_grants_the_servers_wish_within_bounds() -> None:
    assert consumer_backoff().failed(3.0) == 3.0
    assert consumer_backoff().failed(10_000.0) == 4 * CONSUMER_CAP_S
    assert consumer_backoff().failed(-1.0) == 0.0
