"""Pages by time: an id counts as never issued only if its trade would be on them, were it out of order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.since_pages import SincePages
from producers.trade_pages import KRAKEN, Since
from tests.builders import NOW_MS
from tests.unit.producers.paged_trades import Rest, at, by_since, ids


@settings(max_examples=60)
@given(st.sets(st.integers(2, 58)), st.integers(3, 20))
def test_what_whole_pages_leave_out_was_never_issued_on_kraken(issued: set[int], page: int) -> None:
    later = at(62, ms=5_000)  # which shows that no trade between could be out of order
    rest = Rest([*(at(each) for each in issued | {1, 59, 60, 61}), later], page)
    found = by_since(rest, 20, 39)
    never = {each for first, last in found.never for each in range(first, last + 1)}
    assert set(ids(found)) == issued & set(range(20, 40))
    assert never == set(range(20, 40)) - issued
    assert found.unproved == []


def test_a_hole_between_two_pages_is_not_called_never_issued() -> None:
    pages = SincePages(3, 8, [at(2)], before_ms=NOW_MS + 20, rules=KRAKEN._replace(page=3))
    pages.receive([at(2), at(3), at(4)], (NOW_MS + 40) * 1_000_000, 3)
    assert pages.request() == Since((NOW_MS + 40) * 1_000_000 - 1)
    pages.receive([at(7), at(8), at(9)], (NOW_MS + 90) * 1_000_000, 3)
    found = pages.repair()
    assert (ids(found), found.never, found.unproved) == ([3, 4], [], [(5, 8)])
    assert found.reason == "a page does not overlap the one before it, which ends with trade 4"


def test_trades_that_the_exchange_does_not_have_yet_are_unproved() -> None:
    found = by_since(Rest((at(each) for each in range(1, 31)), 1_000), 20, 39)
    assert (ids(found), found.never, found.unproved) == (list(range(20, 31)), [], [(31, 39)])
    assert found.reason == "the exchange's pages do not reach them"


def test_the_first_page_begins_earlier_until_it_has_a_trade_below_the_hole() -> None:
    # The trade below the hole has a much earlier time than is known.
    rest = Rest([at(1, ms=-50_000), *(at(each) for each in range(20, 60))], 1_000)
    found = by_since(rest, 20, 39)
    assert ids(found) == list(range(20, 40))
    asked = [request.since_ns for request in rest.requests if isinstance(request, Since)]
    assert asked == sorted(asked, reverse=True)
    assert len(asked) == 2


def test_a_trade_that_is_earlier_than_the_one_before_it_is_found_with_one_request() -> None:
    trades = [at(each, ms=each * 1_000) for each in range(1, 11) if each != 5]
    rest = Rest([*trades, at(5, ms=3_100)], 1_000)
    pages = SincePages(5, 5, [], before_ms=NOW_MS + 4_000)
    pages.receive(*rest.since(pages.request()))
    assert (ids(pages.repair()), pages.done) == ([5], True)


@pytest.mark.parametrize(("newest_ms", "never"), [(6_000, []), (7_000, []), (7_001, [(5, 5)])])
def test_an_absent_id_is_no_trade_only_once_there_are_trades_a_second_later(
    newest_ms: int, never: list[tuple[int, int]]
) -> None:
    times = {3: 3_000, 4: 4_000, 6: 6_000, 7: newest_ms}
    pages = SincePages(5, 5, [], before_ms=NOW_MS + 4_000)
    rest = Rest([at(each, ms=ms) for each, ms in times.items()], 1_000)
    pages.receive(*rest.since(pages.request()))
    found = pages.repair()
    assert (pages.done, found.never) == (True, never)
    assert found.unproved == ([] if never else [(5, 5)])


def test_an_absent_id_costs_pages_of_one_more_second_only() -> None:
    rest = Rest((at(each) for each in range(1, 2_000) if each != 20), 50)
    found = by_since(rest, 20, 20)
    assert found.never == [(20, 20)]
    assert len(rest.requests) <= 4


@settings(max_examples=40)
@given(
    st.lists(st.integers(-500, 500), min_size=200, max_size=200),
    st.sets(st.integers(60, 140)),
    st.integers(60, 300),
)
def test_no_trade_is_called_never_issued_though_times_are_out_of_order(
    disorder: list[int], gone: set[int], page: int
) -> None:
    trades = {each: at(each, ms=each * 50 + late) for each, late in enumerate(disorder) if each not in gone}
    known = max(each for each in trades if each < 80)
    rest = Rest(trades.values(), page)
    pages = SincePages(
        80, 120, [], before_ms=trades[known]["trade_time_ms"], rules=KRAKEN._replace(page=page)
    )
    while not pages.done:
        pages.receive(*rest.since(pages.request()))
    found = pages.repair()
    assert set(ids(found)) == set(range(80, 121)) - gone
    assert {each for first, last in found.never for each in range(first, last + 1)} == set(
        range(80, 121)
    ) & gone
    assert len(rest.requests) <= 6


def test_a_full_page_with_a_row_that_cannot_be_read_is_not_the_last() -> None:
    rest = Rest((at(each, ms=each * 1_000) for each in range(1, 60)), 10)
    pages = SincePages(20, 39, [], before_ms=NOW_MS + 19_000, rules=KRAKEN._replace(page=10))
    while not pages.done:
        rows, end_ns, count = rest.since(pages.request())
        pages.receive([row for row in rows if row["trade_id"] != 25], end_ns, count)
    found = pages.repair()
    assert ids(found) == [*range(20, 25), *range(26, 40)]
    assert (found.never, found.unproved) == ([], [(25, 25)])


def test_a_full_page_without_news_ends_the_requests() -> None:
    rest = Rest((at(each, ms=0 if each > 5 else each - 10) for each in range(1, 60)), 3)
    pages = SincePages(7, 39, [], before_ms=NOW_MS, rules=KRAKEN._replace(page=3))
    while not pages.done:
        pages.receive(*rest.since(pages.request()))
    assert "has no trade after" in pages.repair().reason
