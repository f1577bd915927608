"""Minutes of trades: bounded by count, joined to days, and equal after a snapshot."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumers.trade_dates import DAY_MS, KEPT_MINUTES, MINUTE_MS, TradeDates
from tests.builders import NOW_MS


def a_day(dates: TradeDates, minutes: int) -> TradeDates:
    for minute in range(minutes):
        dates.add(10 * minute, 10 * minute + 9, NOW_MS + minute * MINUTE_MS + 7)
    return dates


def test_ids_lie_in_minutes() -> None:
    dates = a_day(TradeDates(), 3)
    dates.add(40, 41, NOW_MS + MINUTE_MS)
    assert dates.ids_of(NOW_MS + MINUTE_MS) == (10, 41)
    assert list(dates.minutes_of(5, 12)) == [NOW_MS, NOW_MS + MINUTE_MS]
    assert list(dates.between(NOW_MS, NOW_MS + MINUTE_MS)) == [(0, 9)]
    assert dates.times_of(3, 4) == (NOW_MS, NOW_MS + MINUTE_MS)
    assert dates.times_of(100, 200) is None
    assert dates.newest_before(NOW_MS + MINUTE_MS) == 9


def test_what_is_older_than_a_week_is_known_by_the_day() -> None:
    dates = a_day(TradeDates(), KEPT_MINUTES + 1)
    assert dates.ids_of(NOW_MS) is None
    assert dates.ids_of(NOW_MS + MINUTE_MS) == (10, 19)
    day_ms = NOW_MS - NOW_MS % DAY_MS
    assert dates.times_of(0, 0) == (day_ms, day_ms + DAY_MS)
    assert list(dates.between(NOW_MS, NOW_MS + 1)) == [(0, 9)]


def test_one_time_far_ahead_does_not_push_the_others_out() -> None:
    dates = a_day(TradeDates(), 60)
    dates.add(10_000, 10_000, NOW_MS + 10_000 * DAY_MS)
    assert dates.ids_of(NOW_MS) == (0, 9)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 100), st.integers(0, 10**10)), max_size=50))
def test_a_snapshot_says_the_same(spans: list[tuple[int, int, int]]) -> None:
    dates = TradeDates()
    for first, length, time_ms in spans:
        dates.add(first, first + length, time_ms)
    again = TradeDates.of(dates.state())
    assert again.state() == dates.state()
    assert all(again.ids_of(ms - ms % MINUTE_MS) == dates.ids_of(ms - ms % MINUTE_MS) for *_, ms in spans)
