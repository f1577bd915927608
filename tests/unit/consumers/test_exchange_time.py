"""The exchange's time by a deployment's own records: carried on by hosts, and never moved by their jumps."""

from __future__ import annotations

from consumers.exchange_time import ExchangeTime
from tests.builders import NOW_MS

HOUR_MS, DAY_MS = 3_600_000, 24 * 3_600_000


def test_nothing_is_known_before_the_exchange_has_spoken() -> None:
    time = ExchangeTime()
    time.tick("consumer", NOW_MS)
    assert time.now_ms is None
    time.receive(NOW_MS, NOW_MS + 30 * DAY_MS)
    assert time.now_ms == NOW_MS


def test_hosts_carry_it_on_whatever_their_own_clocks_say() -> None:
    time = ExchangeTime(NOW_MS)
    for second in range(11):
        time.tick("a", NOW_MS + DAY_MS + 1_000 * second)
        time.tick("b", NOW_MS - DAY_MS + 1_000 * second)
    assert time.now_ms == NOW_MS + 10_000


def test_a_clock_that_jumps_carries_nothing() -> None:
    time = ExchangeTime(NOW_MS)
    for jump_ms in (0, HOUR_MS, 30 * DAY_MS, -HOUR_MS, -DAY_MS):
        time.tick("a", NOW_MS + jump_ms)
        time.tick("a", NOW_MS + jump_ms + 1_000)
    assert time.now_ms == NOW_MS + 5_000


def test_a_time_far_ahead_is_none_of_the_exchange() -> None:
    time = ExchangeTime(NOW_MS)
    time.receive(NOW_MS + 30 * DAY_MS, NOW_MS)
    assert time.now_ms == NOW_MS
    time.receive(NOW_MS + 30 * DAY_MS, NOW_MS + 30 * DAY_MS)  # everything was off for a month
    assert time.now_ms == NOW_MS + 30 * DAY_MS
    time.receive(NOW_MS, NOW_MS)
    assert time.now_ms == NOW_MS + 30 * DAY_MS


def test_reports_that_are_read_after_what_came_later_carry_nothing() -> None:
    """A restart reads the ledger to its end, and then two hours of services' reports."""
    time = ExchangeTime()
    time.receive(NOW_MS, NOW_MS + 5)
    for before_s in range(7_200, -61, -10):
        time.tick("producer:BTCUSDC", NOW_MS + 5 - before_s * 1000)
    assert time.now_ms == NOW_MS + 60_000
