"""The exchange's clock as a bound of times: whatever becomes of ours, and at any pace of a simulated one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from producers.clock import AHEAD_MS, Clock
from shared.errors import ExchangeUnavailable
from tests.builders import NOW_MS


class Time:
    """Both clocks of a machine, moved by hand."""

    def __init__(self) -> None:
        self.monotonic_s = 100.0
        self.wall_ms = NOW_MS

    def pass_s(self, seconds: float) -> None:
        self.monotonic_s += seconds
        self.wall_ms += int(seconds * 1000)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def clock(time: Time, monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(lambda: time.monotonic_s)
    monkeypatch.setattr(made, "now_ms", lambda: time.wall_ms)
    made.receive(time.wall_ms, NOW_MS + 250)
    return made


def test_the_bound_is_the_exchanges_clock_and_a_tolerance(clock: Clock, time: Time) -> None:
    time.pass_s(5)
    assert clock.latest_ms() == NOW_MS + 5_250 + AHEAD_MS
    assert time.wall_ms + clock.ahead_ms == clock.latest_ms()


@pytest.mark.parametrize("set_by_ms", [-3_600_000, 3_600_000, -30 * 86_400_000, 8 * 86_400_000])
def test_setting_our_clock_moves_no_bound(clock: Clock, time: Time, set_by_ms: int) -> None:
    time.wall_ms += set_by_ms
    assert clock.latest_ms() == NOW_MS + 250 + AHEAD_MS


def test_before_the_exchange_was_heard_nothing_lies_beyond_its_clock() -> None:
    assert Clock().ahead_ms > 200 * 365 * 86_400_000


def test_a_simulated_exchange_may_be_faster_than_time(clock: Clock, time: Time) -> None:
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        clock.receive(time.wall_ms, NOW_MS + int((time.monotonic_s - 100.0) * 60_000))

    clock.ask = ask
    time.pass_s(2)
    assert asyncio.run(clock.ask_latest_ms()) >= NOW_MS + 120_000
    time.pass_s(0.5)
    assert clock.latest_ms() >= NOW_MS + 150_000
    assert asked == 1


def test_the_exchange_is_asked_at_most_once_a_second(clock: Clock, time: Time) -> None:
    asked: list[float] = []

    async def ask() -> None:
        asked.append(time.monotonic_s)
        clock.receive(time.wall_ms, NOW_MS)

    clock.ask = ask
    for _ in range(30):
        time.pass_s(0.1)
        asyncio.run(clock.ask_latest_ms())
    assert 2 <= len(asked) <= 3


def test_after_a_sleep_our_own_clock_vouches_while_the_exchange_does_not_answer(
    clock: Clock, time: Time
) -> None:
    async def ask() -> Any:
        raise ExchangeUnavailable("GET /api/v3/time: no answer")

    clock.ask = ask
    time.wall_ms += 3_600_000  # asleep, the monotonic clock stands still
    assert asyncio.run(clock.ask_latest_ms()) == NOW_MS + 3_600_250 + AHEAD_MS
