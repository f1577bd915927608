"""The exchange's clock as a bound of times: whatever becomes of ours, and at any pace of a simulated one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from producers.clock import AHEAD_MS, Clock, ClockOffset
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
    made.receive(made.steady_ms(), NOW_MS + 250)
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
        clock.receive(clock.steady_ms(), NOW_MS + int((time.monotonic_s - 100.0) * 60_000))

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
        clock.receive(clock.steady_ms(), NOW_MS)

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


@pytest.mark.parametrize("set_by_ms", [-3_600_000, 86_400_000, 30 * 86_400_000])
def test_setting_our_clock_does_not_set_the_exchanges(clock: Clock, time: Time, set_by_ms: int) -> None:
    time.pass_s(7)
    time.wall_ms += set_by_ms
    assert clock.exchange_ms() == NOW_MS + 7_250


def test_a_step_of_our_clock_is_noticed_once_and_its_corrections_are_none(clock: Clock, time: Time) -> None:
    found = [clock.stepped()]
    for correction_ms in (0, 40, -3_600_000, 0, 5_000):
        time.pass_s(1)
        time.wall_ms += correction_ms
        found.append(clock.stepped())
    assert found == [False, False, False, True, False, True]


def test_an_answer_that_contradicts_all_before_it_is_believed(clock: Clock, time: Time) -> None:
    """A host that has slept: the clock that is never set stood still, and the old offset is no more."""
    clock.receive(clock.steady_ms(), NOW_MS + 3_600_000)
    assert clock.exchange_ms() == NOW_MS + 3_600_000


def test_an_exchange_whose_clock_jumps_is_asked_each_time(clock: Clock, time: Time) -> None:
    server_ms = NOW_MS

    async def ask() -> None:
        clock.receive(clock.steady_ms(), server_ms)

    clock.ask = ask
    for _ in range(5):
        time.pass_s(0.01)
        server_ms += 60_000
        assert asyncio.run(clock.ask_latest_ms()) >= server_ms


def test_the_pace_of_a_fast_exchange_is_found_also_by_questions_in_quick_succession(
    clock: Clock, time: Time
) -> None:
    for _ in range(10):
        time.pass_s(0.1)
        clock.receive(clock.steady_ms(), NOW_MS + 250 + int((time.monotonic_s - 100) * 60_000))
    time.pass_s(0.5)
    assert clock.latest_ms() == pytest.approx(NOW_MS + 90_250 + AHEAD_MS, abs=1_000)


def test_at_the_end_the_exchanges_clock_does_not_go_back(clock: Clock, time: Time) -> None:
    time.pass_s(40)
    clock.receive(clock.steady_ms(), NOW_MS - 3_600_000)
    time.pass_s(1)
    clock.receive(clock.steady_ms(), NOW_MS - 3_599_000)
    assert clock.last_ms() == NOW_MS + 41_250


def test_at_the_end_the_exchanges_clock_may_stand_still(clock: Clock, time: Time) -> None:
    time.pass_s(40)
    clock.receive(clock.steady_ms(), NOW_MS + 20_000)
    assert clock.last_ms() == NOW_MS + 20_000


def test_a_word_that_is_far_ahead_finishes_no_bar(clock: Clock, time: Time) -> None:
    time.pass_s(5)
    clock.receive(clock.steady_ms(), NOW_MS + 30 * 86_400_000)
    assert clock.bounds_ms(NOW_MS + 30 * 86_400_000) == (NOW_MS + 5_250, NOW_MS + 30 * 86_400_000)
    assert clock.bounds_ms(NOW_MS + 6_000) == (NOW_MS + 6_000, NOW_MS + 6_000)


def test_a_word_that_falls_back_does_not_unfinish_bars(clock: Clock, time: Time) -> None:
    time.pass_s(5)
    assert clock.bounds_ms(NOW_MS - 3_600_000) == (NOW_MS - 3_600_000, NOW_MS + 5_250)


def test_a_first_word_that_is_far_ahead_finishes_no_bar_once_the_streams_tell(time: Time) -> None:
    clock = Clock(lambda: time.monotonic_s)
    clock.receive(clock.steady_ms(), NOW_MS + 3_600_000)
    clock.receive_event(time.monotonic_s, NOW_MS)
    time.pass_s(3)
    assert clock.bounds_ms(NOW_MS + 3_603_000) == (NOW_MS + 3_000, NOW_MS + 3_603_000)


def test_a_first_word_that_only_our_own_clock_denies_finishes_no_bar(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(lambda: time.monotonic_s)
    monkeypatch.setattr(clock, "now_ms", lambda: time.wall_ms)
    clock.receive(clock.steady_ms(), time.wall_ms + 3_600_000)
    assert clock.bounds_ms(time.wall_ms + 3_600_000) == (time.wall_ms, time.wall_ms + 3_600_000)
    # Where ours is the one that is wrong, the streams say so.
    clock.receive_event(time.monotonic_s, time.wall_ms + 3_600_000)
    assert clock.bounds_ms(time.wall_ms + 3_600_000) == (time.wall_ms + 3_600_000,) * 2


def test_streams_vouch_for_a_word_that_contradicts_those_before(clock: Clock, time: Time) -> None:
    """A host that has slept."""
    clock.receive_event(time.monotonic_s, NOW_MS + 3_600_000)
    clock.receive(clock.steady_ms(), NOW_MS + 3_600_100)
    time.pass_s(60)
    assert clock.bounds_ms(NOW_MS + 3_660_000) == (NOW_MS + 3_660_000, NOW_MS + 3_660_000)


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


@pytest.mark.parametrize("lie_ms", [3_600_000, -3_600_000])
def test_one_wrong_answer_takes_the_least_time_nowhere_that_the_streams_deny(
    clock: Clock, time: Time, lie_ms: int
) -> None:
    time.pass_s(60)
    clock.receive_event(time.monotonic_s, NOW_MS + 60_200)
    clock.receive(clock.steady_ms(), NOW_MS + 60_250 + lie_ms)
    time.pass_s(1)
    assert clock.least_ms() <= NOW_MS + 61_250
    clock.receive_event(time.monotonic_s, NOW_MS + 61_200)
    clock.receive(clock.steady_ms(), NOW_MS + 61_250)
    assert clock.least_ms() == NOW_MS + 61_250
