"""Minutes of trades: bounded by count, joined to days, and equal after a snapshot."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from consumers.trade_dates import DAY_MS, KEPT_MINUTES, MINUTE_MS, TradeDates
from shared.trade_ids import EPOCH_SPAN, number
from tests.builders import NOW_MS


def a_day(dates: TradeDates, minutes: int) -> TradeDates:
    for minute in range(minutes):
        dates.add(10 * minute, 10 * minute + 9, NOW_MS + minute * MINUTE_MS + 7)
    return dates


def test_ids_lie_in_minutes() -> None:
    dates = a_day(TradeDates(), 3)
    dates.add(40, 41, NOW_MS + MINUTE_MS)
    assert dates.ids_of(NOW_MS + MINUTE_MS) == [(10, 19), (30, 41)]
    assert list(dates.minutes_of(5, 12)) == [NOW_MS, NOW_MS + MINUTE_MS]
    assert list(dates.between(NOW_MS, NOW_MS + MINUTE_MS)) == [(0, 9)]
    assert dates.times_of(3, 4) == (NOW_MS, NOW_MS + MINUTE_MS)
    assert dates.times_of(100, 200) is None
    assert dates.newest_before(NOW_MS + MINUTE_MS) == 9


def test_what_came_late_leaves_the_minute_that_it_was_found_missing_in() -> None:
    dates = TradeDates()
    dates.add(1, 10, NOW_MS)
    dates.add(11, 20, NOW_MS + MINUTE_MS)  # 11 to 19 are missing: dated by the trade after them
    dates.add(11, 17, NOW_MS)
    assert dates.ids_of(NOW_MS) == [(1, 17)]
    assert dates.ids_of(NOW_MS + MINUTE_MS) == [(18, 20)]
    dates.add(11, 20, NOW_MS + MINUTE_MS)  # another start says it again
    assert dates.ids_of(NOW_MS) == [(1, 17)]


def test_a_minute_in_which_ids_begin_anew_has_none_between_the_numberings() -> None:
    dates, later_ms = TradeDates(), NOW_MS + MINUTE_MS
    dates.add(500, 520, NOW_MS)
    dates.add(number(1, 1), number(1, 9), NOW_MS)
    dates.add(521, 530, later_ms)
    dates.add(number(1, 10), number(1, 12), later_ms)
    assert dates.ids_of(NOW_MS) == [(500, 520), (EPOCH_SPAN, EPOCH_SPAN + 9)]
    assert dates.ids_of(later_ms) == [(521, 530), (EPOCH_SPAN + 10, EPOCH_SPAN + 12)]


def test_what_nobody_has_dated_is_of_the_minute_of_what_followed() -> None:
    dates = TradeDates()
    dates.add(1, 3, NOW_MS)
    dates.add(9, 9, NOW_MS + MINUTE_MS)
    assert dates.ids_of(NOW_MS + MINUTE_MS) == [(4, 9)]
    assert list(dates.minutes_of(5, 5)) == [NOW_MS + MINUTE_MS]
    dates.add(6, 6, NOW_MS)
    assert (dates.ids_of(NOW_MS), dates.ids_of(NOW_MS + MINUTE_MS)) == ([(1, 3), (4, 6)], [(7, 9)])


def test_a_minute_that_all_ids_have_left_is_still_known() -> None:
    dates = TradeDates()
    dates.add(1, 3, NOW_MS + MINUTE_MS)
    assert dates.ids_of(NOW_MS) is None
    dates.add(1, 3, NOW_MS)
    assert dates.ids_of(NOW_MS + MINUTE_MS) == []
    assert TradeDates.of(dates.state()).ids_of(NOW_MS + MINUTE_MS) == []
    dates.add(4, 4, NOW_MS + MINUTE_MS)
    assert dates.ids_of(NOW_MS + MINUTE_MS) == [(4, 4)]


def test_a_minute_goes_to_its_day_as_a_whole() -> None:
    dates = TradeDates()
    dates.add(0, 9, NOW_MS)
    dates.add(number(1, 1), number(1, 9), NOW_MS)
    for minute in range(1, KEPT_MINUTES + 1):
        dates.add(number(1, 10 * minute), number(1, 10 * minute + 9), NOW_MS + minute * MINUTE_MS)
    assert dates.ids_of(NOW_MS) is None
    assert dates.ids_of(NOW_MS + MINUTE_MS) == [(number(1, 10), number(1, 19))]
    assert dates.between(NOW_MS, NOW_MS + 1).id_count() == 10 + 10


def test_minutes_of_a_snapshot_that_still_overlapped_are_set_apart() -> None:
    first_ms = NOW_MS - NOW_MS % MINUTE_MS
    # 1 to 17 in one minute, 11 to 20 in the next.
    state = {"minutes": [1, 16, first_ms // MINUTE_MS, -6, 9, 1], "days": []}
    dates = TradeDates.of(state)
    assert (dates.ids_of(NOW_MS), dates.ids_of(NOW_MS + MINUTE_MS)) == ([(1, 17)], [(18, 20)])


def test_what_is_older_than_a_week_is_known_by_the_day() -> None:
    dates = a_day(TradeDates(), KEPT_MINUTES + 1)
    assert dates.ids_of(NOW_MS) is None
    assert dates.ids_of(NOW_MS + MINUTE_MS) == [(10, 19)]
    day_ms = NOW_MS - NOW_MS % DAY_MS
    assert dates.times_of(0, 0) == (day_ms, day_ms + DAY_MS)
    assert list(dates.between(NOW_MS, NOW_MS + 1)) == [(0, 9)]


def test_one_time_far_ahead_does_not_push_the_others_out() -> None:
    dates = a_day(TradeDates(), 60)
    dates.add(10_000, 10_000, NOW_MS + 10_000 * DAY_MS)
    assert dates.ids_of(NOW_MS) == [(0, 9)]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 100), st.integers(0, 10**10)), max_size=50))
def test_a_snapshot_says_the_same(spans: list[tuple[int, int, int]]) -> None:
    dates = TradeDates()
    for first, length, time_ms in spans:
        dates.add(first, first + length, time_ms)
    again = TradeDates.of(dates.state())
    assert again.state() == dates.state()
    assert all(again.ids_of(ms - ms % MINUTE_MS) == dates.ids_of(ms - ms % MINUTE_MS) for *_, ms in spans)


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 15), st.integers(0, 5)), max_size=25)


@given(SPANS, st.randoms())
def test_an_id_lies_in_the_earliest_minute_said_of_it_and_in_no_other(
    spans: list[tuple[int, int, int]], chance: random.Random
) -> None:
    earliest: dict[int, int] = {}
    for first, length, minute in spans:
        for item in range(first, first + length + 1):
            earliest[item] = min(minute, earliest.get(item, minute))
    said = spans * 2
    chance.shuffle(said)
    dates = TradeDates()
    for first, length, minute in said:
        dates.add(first, first + length, NOW_MS + minute * MINUTE_MS)
    minutes: dict[int, list[int]] = {}
    for minute in range(6):
        for first, last in dates.ids_of(NOW_MS + minute * MINUTE_MS) or ():
            for item in range(first, last + 1):
                minutes.setdefault(item, []).append(minute)
    assert all(len(found) == 1 for found in minutes.values())
    assert {item: [minute] for item, minute in earliest.items()}.items() <= minutes.items()
    for item, found in minutes.items():
        assert set(dates.minutes_of(item, item)) == {NOW_MS + found[0] * MINUTE_MS}
