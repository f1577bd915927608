"""Waiting for a store grows, is bounded, and is not the same for all."""

from __future__ import annotations

from consumers.backoff import FIRST_S, LONGEST_S, Backoff


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(lambda: 1.0)
    delays = [backoff.next_delay_s(None) for _ in range(8)]
    assert delays[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert delays[-1] == LONGEST_S
    backoff.reset()
    assert backoff.next_delay_s(None) == FIRST_S


def test_half_of_a_delay_is_chance() -> None:
    assert Backoff(lambda: 0.0).next_delay_s(None) == FIRST_S / 2


def test_the_servers_wish_is_granted_within_bounds() -> None:
    assert Backoff().next_delay_s(3.0) == 3.0
    assert Backoff().next_delay_s(10_000.0) == 4 * LONGEST_S
    assert Backoff().next_delay_s(-1.0) == 0.0
