"""Repair of trades by pages: what is not proven stays missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.trade_pages import (
    COINBASE,
    KRAKEN,
    MOST_PAGES,
    Before,
    BeforePages,
    Repair,
    Since,
    SincePages,
    Within,
    WithinPages,
    same_trade,
)
from tests.builders import NOW_MS, trade


def at(trade_id: int, ms: int | None = None, **fields: Any) -> Any:
    return trade(trade_id=trade_id, trade_time_ms=NOW_MS + (trade_id * 10 if ms is None else ms), **fields)


class Rest:
    """An exchange's trades by REST, in its three ways of paging."""

    def __init__(self, trades: Iterable[Any], page: int) -> None:
        self.trades = sorted(trades, key=lambda each: each["trade_id"])
        self.page = page
        self.requests: list[Since | Within | Before] = []

    def since(self, asked: Since) -> tuple[list[Any], int, int]:
        self.requests.append(asked)
        by_time = sorted(self.trades, key=lambda each: (each["trade_time_ms"], each["trade_id"]))
        rows = [each for each in by_time if each["trade_time_ms"] * 1_000_000 > asked.since_ns][: self.page]
        end_ns = rows[-1]["trade_time_ms"] * 1_000_000 if rows else asked.since_ns
        return sorted(rows, key=lambda each: each["trade_id"]), end_ns, len(rows)

    def within(self, asked: Within) -> list[Any]:
        self.requests.append(asked)
        start, end = asked.start_s * 1000, asked.end_s * 1000
        return [each for each in self.trades if start <= each["trade_time_ms"] <= end][-self.page :]

    def before(self, asked: Before) -> list[Any]:
        self.requests.append(asked)
        return [each for each in self.trades if each["trade_id"] < asked.trade_id][-self.page :]


def by_since(rest: Rest, first: int, last: int, held: Iterable[Any] = ()) -> Repair:
    pages = SincePages(
        first, last, held, before_ms=NOW_MS + (first - 1) * 10, rules=KRAKEN._replace(page=rest.page)
    )
    while not pages.done:
        pages.receive(*rest.since(pages.request()))
    return pages.repair()


def by_within(rest: Rest, first: int, last: int, held: Iterable[Any] = ()) -> Repair:
    pages = WithinPages(
        first,
        last,
        held,
        before_ms=NOW_MS + (first - 1) * 10,
        after_ms=NOW_MS + (last + 1) * 10,
        rules=COINBASE._replace(page=rest.page),
    )
    while not pages.done:
        pages.receive(rest.within(pages.request()))
    return pages.repair()


def by_before(rest: Rest, first: int, last: int, held: Iterable[Any] = ()) -> Repair:
    pages = BeforePages(first, last, held, rules=COINBASE._replace(page=rest.page))
    while not pages.done:
        pages.receive(rest.before(pages.request()))
    return pages.repair()


WAYS = pytest.mark.parametrize("repair", [by_since, by_within, by_before])
Way = Callable[..., Repair]


def ids(found: Repair) -> list[int]:
    return [each["trade_id"] for each in found.trades]


@pytest.mark.parametrize(
    ("repair", "page"),
    [(way, page) for way in (by_since, by_before) for page in (2, 3, 7, 1_000)] + [(by_within, 1_000)],
)
def test_a_hole_is_filled_over_as_many_pages_as_it_takes(repair: Way, page: int) -> None:
    rest = Rest((at(each) for each in range(1, 60)), page)
    found = repair(rest, 20, 39, [at(19), at(40)])
    assert (ids(found), found.never, found.unproved, found.reason) == (list(range(20, 40)), [], [], "")


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


@WAYS
def test_pages_that_do_not_overlap_prove_nothing_between_them(repair: Way) -> None:
    rest = Rest((at(each) for each in range(1, 60)), 5)
    whole = list(rest.trades)

    def hiding(ask: Any) -> Any:
        """Every page but the first leaves out the trade that should come again."""

        def asked(request: Any) -> Any:
            answer = ask(request)
            rows, *end = answer if isinstance(answer, tuple) else (answer,)
            first_page = len(rest.requests) == 1
            kept = rows if first_page else [each for each in rows if each["trade_id"] not in seen]
            seen.update(each["trade_id"] for each in kept)
            return (kept, *end) if end else kept

        seen: set[int] = set()
        return asked

    for name in ("since", "within", "before"):
        setattr(rest, name, hiding(getattr(rest, name)))
    found = repair(rest, 20, 39, [at(19), at(40)])
    assert len(whole) == 59
    assert found.never == []
    assert found.unproved
    assert "does not overlap" in found.reason or "proves that REST counts" in found.reason


def test_a_hole_between_two_pages_is_not_called_never_issued() -> None:
    pages = SincePages(3, 8, [at(2)], before_ms=NOW_MS + 20, rules=KRAKEN._replace(page=3))
    pages.receive([at(2), at(3), at(4)], (NOW_MS + 40) * 1_000_000, 3)
    assert pages.request() == Since((NOW_MS + 40) * 1_000_000 - 1)
    pages.receive([at(7), at(8), at(9)], (NOW_MS + 90) * 1_000_000, 3)
    found = pages.repair()
    assert (ids(found), found.never, found.unproved) == ([3, 4], [], [(5, 8)])
    assert found.reason == "a page does not overlap the one before it, which ends with trade 4"


@pytest.mark.parametrize("repair", [by_within, by_before])
@pytest.mark.parametrize(
    ("held", "said"),
    [
        ([], "no trade below 20 that we hold proves"),
        ([at(19)], "no trade above 39 that we hold proves"),
        ([at(40)], "no trade below 20 that we hold proves"),
        ([at(19), at(40, price="7")], "trade 40 is another one over REST"),
        ([at(19, buyer_is_maker=True), at(40)], "trade 19 is another one over REST"),
        ([at(19, ms=9_000), at(40)], "trade 19 is another one over REST"),
    ],
)
def test_coinbase_needs_proof_of_one_numbering_on_both_sides(repair: Way, held: list[Any], said: str) -> None:
    found = repair(Rest((at(each) for each in range(1, 60)), 1_000), 20, 39, held)
    assert (found.trades, found.never, found.unproved) == ([], [], [(20, 39)])
    assert said in found.reason


@pytest.mark.parametrize("repair", [by_within, by_before])
def test_an_absent_id_of_coinbase_stays_missing(repair: Way) -> None:
    rest = Rest((at(each) for each in range(1, 60) if each != 25), 1_000)
    found = repair(rest, 20, 39, [at(19), at(40)])
    assert (len(found.trades), found.never, found.unproved) == (19, [], [(25, 25)])
    assert found.reason == "ids are absent though pages are whole"


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


@settings(max_examples=200)
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


def test_a_window_with_too_many_trades_moves_to_earlier_seconds() -> None:
    rest = Rest((at(each, ms=each * 400) for each in range(1, 100)), 20)
    pages = WithinPages(
        20,
        69,
        [at(19, ms=19 * 400), at(70, ms=70 * 400)],
        before_ms=NOW_MS + 19 * 400,
        after_ms=NOW_MS + 70 * 400,
        rules=COINBASE._replace(page=20),
    )
    while not pages.done:
        pages.receive(rest.within(pages.request()))
    assert ids(pages.repair()) == list(range(20, 70))
    assert len(rest.requests) > 2


def test_more_trades_in_a_second_than_a_page_has_are_unproved() -> None:
    rest = Rest((at(each) for each in range(1, 60)), 3)
    found = by_within(rest, 20, 39, [at(19), at(40)])
    assert found.unproved == [(20, 39)]


def test_requests_end() -> None:
    rest = Rest((at(each) for each in range(1, 2_000)), 3)
    found = by_since(rest, 20, 1_900)
    assert len(rest.requests) == MOST_PAGES
    assert found.reason == f"not reached within {MOST_PAGES} pages"
    assert ids(found)[0] == 20
    assert found.unproved[-1][1] == 1_900


def test_a_full_page_without_news_ends_the_requests() -> None:
    rest = Rest((at(each, ms=0 if each > 5 else each - 10) for each in range(1, 60)), 3)
    pages = SincePages(7, 39, [], before_ms=NOW_MS, rules=KRAKEN._replace(page=3))
    while not pages.done:
        pages.receive(*rest.since(pages.request()))
    assert "has no trade after" in pages.repair().reason


def test_one_trade_may_be_written_with_other_zeros_and_a_rounded_time() -> None:
    assert same_trade(at(1, price="100.50", ms=10), at(1, price="100.5000", ms=11))
    assert not same_trade(at(1, quantity="0.5"), at(1, quantity="0.50000001"))
    assert not same_trade(at(1, ms=10), at(1, ms=12))


@pytest.mark.parametrize(
    ("marks", "found"),
    [
        ({19: NOW_MS + 190}, 20),
        ({19: NOW_MS + 191}, 20),  # REST rounds what the stream cuts off
        ({19: NOW_MS + 195}, 0),
        ({40: NOW_MS + 400}, 0),  # above the hole it is no proof of what is below
        ({}, 0),
    ],
)
def test_id_and_time_of_a_trade_before_the_hole_prove_the_numbering_below(
    marks: dict[int, int], found: int
) -> None:
    rest = Rest([at(each) for each in range(60)], page=10)
    pages = BeforePages(20, 39, [at(40)], rules=COINBASE._replace(page=10), marks=marks)
    while not pages.done:
        pages.receive(rest.before(pages.request()))
    assert len(pages.repair().trades) == found
