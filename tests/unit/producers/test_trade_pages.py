"""Repair of trades by pages: what is not proven stays missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from producers.trade_pages import (
    COINBASE,
    MOST_PAGES,
    BeforePages,
    Repair,
    WithinPages,
    same_trade,
)
from tests.builders import NOW_MS
from tests.unit.producers.paged_trades import Rest, at, by_since, ids


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


@pytest.mark.parametrize(
    ("repair", "page"),
    [(way, page) for way in (by_since, by_before) for page in (2, 3, 7, 1_000)] + [(by_within, 1_000)],
)
def test_a_hole_is_filled_over_as_many_pages_as_it_takes(repair: Way, page: int) -> None:
    rest = Rest((at(each) for each in range(1, 60)), page)
    found = repair(rest, 20, 39, [at(19), at(40)])
    assert (ids(found), found.never, found.unproved, found.reason) == (list(range(20, 40)), [], [], "")


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
