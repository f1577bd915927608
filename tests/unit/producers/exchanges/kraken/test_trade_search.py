from __future__ import annotations

from bisect import bisect_right
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.exchanges.kraken.trade_index import TradeIndex
from producers.exchanges.kraken.trade_search import TradeSearch
from tests.builders import NOW_MS, trade

PAGE = 10
MOST_GUESSES = 51
HOUR_MS = 3_600_000
YEARS_MS = 13 * 365 * 24 * HOUR_MS


class Market:
    """An exchange's trades, numbered from 1 in the order of their times."""

    def __init__(self, times: list[int]) -> None:
        self.times = sorted(times)
        self.asked: list[int] = []

    def since(self, time_ms: int) -> list[Any]:
        self.asked.append(time_ms)
        begin = bisect_right(self.times, time_ms)
        return self.rows(begin, begin + PAGE)

    def rows(self, begin: int, end: int) -> list[Any]:
        times = self.times[begin:end]
        return [trade(trade_id=at, trade_time_ms=each) for at, each in enumerate(times, begin + 1)]

    def search(self, trade_id: int, index: TradeIndex | None = None, before_ms: int = 0) -> int:
        """The time that a search finds."""
        index = index or TradeIndex()
        search = TradeSearch(index, trade_id, PAGE, before_ms=before_ms, now_ms=NOW_MS)
        while search.found_ms is None:
            since_ms = search.guess_ms()
            rows = self.since(since_ms)
            index.note(rows)
            search.receive(since_ms, rows, len(rows))
        return search.found_ms

    def far(self, found_ms: int, trade_id: int) -> int:
        """How many trades below an id are later than this time."""
        return max(0, trade_id - 1 - bisect_right(self.times, found_ms))


@st.composite
def markets(draw: st.DrawFn) -> Market:
    """Bursts of any density, up to all at once, after quiet of milliseconds to years."""
    times: list[int] = []
    at_ms = NOW_MS - draw(st.sampled_from([HOUR_MS, 30 * HOUR_MS, 3_000 * HOUR_MS, YEARS_MS]))
    for _ in range(draw(st.integers(1, 8))):
        lasts_ms = draw(st.sampled_from([0, 1, 50, 60_000, 5 * HOUR_MS]))
        count = draw(st.integers(1, 300))
        times += [at_ms + lasts_ms * each // count for each in range(count)]
        at_ms += lasts_ms + 2 ** draw(st.integers(0, 38))
    return Market([each for each in times if each < NOW_MS])


@settings(max_examples=150, deadline=None)
@given(markets(), st.data())
def test_any_trade_is_found_in_few_pages_on_any_market(market: Market, data: st.DataObject) -> None:
    trade_id = data.draw(st.integers(1, len(market.times)))
    found_ms = market.search(trade_id)
    assert len(market.asked) <= MOST_GUESSES
    assert len(set(market.asked)) == len(market.asked)
    assert found_ms in market.times[: trade_id - 1] or (found_ms, trade_id) == (0, 1)
    assert market.far(found_ms, trade_id) <= 3 * PAGE


@settings(max_examples=100, deadline=None)
@given(markets(), st.data())
def test_what_is_known_from_other_searches_serves(market: Market, data: st.DataObject) -> None:
    index = TradeIndex()
    ids = data.draw(st.lists(st.integers(1, len(market.times)), min_size=2, max_size=5))
    for trade_id in ids:
        before_ms = data.draw(st.sampled_from([0, *market.times[max(0, trade_id - 2) : trade_id - 1]]))
        market.asked.clear()
        found_ms = market.search(trade_id, index, before_ms)
        assert len(market.asked) <= MOST_GUESSES
        assert market.far(found_ms, trade_id) <= 3 * PAGE


@pytest.fixture
def steady() -> Market:
    """One a minute."""
    return Market([NOW_MS - each * 60_000 for each in range(5_000)])


def test_a_market_of_one_pace_is_searched_by_it(steady: Market) -> None:
    steady.search(2_500)
    # It looks back 1, 5, 21 and 85 hours, and then knows the pace.
    assert len(steady.asked) <= 5


def test_before_all_known_ones_it_looks_back_farther_each_time(steady: Market) -> None:
    index = TradeIndex()
    index.note(steady.rows(4_990, 5_000))
    steady.search(1, index)
    upper_ms = steady.times[4_990]
    assert [upper_ms - each for each in steady.asked[:3]] == [HOUR_MS, 5 * HOUR_MS, 21 * HOUR_MS]
    assert steady.asked[-1] == 0


def test_a_trade_that_is_not_issued_yet_ends_it_with_the_newest_one(steady: Market) -> None:
    assert steady.search(9_999) == steady.times[-1]
    assert len(steady.asked) <= 9


def test_a_quiet_last_hour_teaches_that_the_trade_was_before() -> None:
    burst = [NOW_MS - 2 * HOUR_MS + each for each in range(500)]
    market = Market([NOW_MS - 5 * HOUR_MS, *burst])
    index = TradeIndex()
    index.note(market.rows(0, 1))
    assert market.far(market.search(450, index), 450) <= 3 * PAGE
    assert len(set(market.asked)) == len(market.asked)


def test_the_trade_before_a_hole_is_where_it_begins(steady: Market) -> None:
    index = TradeIndex()
    assert steady.search(2_500, index, steady.times[2_498]) == steady.times[2_498]
    assert steady.asked == []
    index.note(steady.rows(0, 10))
    steady.search(2_500, index, steady.times[2_498])
    assert steady.asked == [steady.times[2_498] - 1]


def test_points_of_a_numbering_that_has_ended_do_not_stop_it(steady: Market) -> None:
    index = TradeIndex()
    old_ms = steady.times[0] - 2 * HOUR_MS
    index.note([trade(trade_id=each, trade_time_ms=old_ms + each) for each in (1_000, 90_000)])
    assert steady.far(steady.search(2_500, index), 2_500) <= 3 * PAGE
