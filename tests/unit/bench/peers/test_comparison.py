"""A side is right only by what the exchange issued."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from bench.peers.comparison import BooksComparison, Issued, Span, Top, TradesComparison, Truth, compared

SYMBOL = "BTC-USD"
SPAN = Span(1_000, 2_000)
BOUGHT = Issued("buy", Decimal("100.00"), Decimal("0.50"))


def levels(best: int) -> list[list[str]]:
    return [[f"{best}.0", "1.50"]]


def top(_symbol: str, time_ms: int) -> Top:
    """The best bid is the time's hundreds, the best ask is one above."""
    best = time_ms // 100
    return ((Decimal(best), Decimal("1.5")),), ((Decimal(best + 1), Decimal("1.5")),)


TRUTH = Truth(
    {(SYMBOL, str(number)): BOUGHT for number in (6, 7, 8, 9)},
    {SYMBOL: ["7", "8"]},
    top,
    {SYMBOL: [1_100, 1_200]},
)


def trade(number: int, side: str = "buy", price: str = "100", quantity: str = "0.5") -> Sequence[Any]:
    return ("trade", SYMBOL, str(number), side, price, quantity)


def book(time_ms: int | None, best: int) -> Sequence[Any]:
    return ("book", SYMBOL, time_ms, levels(best), levels(best + 1))


def trades(*shown: Sequence[Any]) -> TradesComparison:
    return compared(shown, TRUTH, SPAN).trades


def books(*shown: Sequence[Any]) -> BooksComparison:
    return compared(shown, TRUTH, SPAN).books


def test_trades_that_are_all_there_once_are_right_whatever_zeros_their_numbers_have() -> None:
    assert trades(trade(7), trade(8, price="100.000", quantity="0.50")) == TradesComparison(2, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("shown", "comparison"),
    [
        ([trade(7)], TradesComparison(2, 1, 0, 0, 0, 0)),
        ([trade(7), trade(8), trade(8), trade(8)], TradesComparison(2, 0, 2, 0, 0, 0)),
        ([trade(7, "sell"), trade(8)], TradesComparison(2, 0, 0, 1, 0, 0)),
        ([trade(7, price="100.01"), trade(8)], TradesComparison(2, 0, 0, 0, 1, 0)),
        ([trade(7, quantity="5"), trade(8)], TradesComparison(2, 0, 0, 0, 1, 0)),
        ([trade(7), trade(8), trade(77)], TradesComparison(2, 0, 0, 0, 0, 1)),
    ],
    ids=["missing", "twice", "side", "price", "quantity", "never issued"],
)
def test_each_fault_of_trades_is_counted_as_its_own(
    shown: list[Sequence[Any]], comparison: TradesComparison
) -> None:
    assert trades(*shown) == comparison


def test_trades_beside_the_span_are_neither_due_nor_repeated() -> None:
    assert trades(trade(6, "sell"), trade(6), trade(7), trade(8)) == TradesComparison(2, 0, 0, 0, 0, 0)


def test_books_are_right_if_they_are_the_exchanges_at_their_time() -> None:
    assert books(book(1_100, 11), book(1_200, 12)) == BooksComparison(2, 2, 2, 0, 0)


def test_a_book_with_another_level_is_wrong_and_its_moment_is_not_shown_right() -> None:
    assert books(book(1_100, 11), book(1_200, 11)) == BooksComparison(2, 1, 2, 1, 0)


def test_a_level_too_many_makes_a_book_wrong() -> None:
    deeper = ("book", SYMBOL, 1_100, [*levels(11), *levels(10)], levels(12))
    assert books(deeper).wrong == 1


def test_after_a_late_message_the_book_may_still_be_the_newest_one() -> None:
    assert books(book(1_200, 12), book(1_100, 12)).wrong == 0
    assert books(book(1_200, 12), book(1_100, 10)).wrong == 1


def test_books_beside_the_span_and_without_a_time_are_not_compared() -> None:
    assert books(book(900, 1), book(2_000, 1), book(None, 1)) == BooksComparison(2, 0, 0, 0, 1)


def test_errors_that_reached_the_user_are_counted_by_their_name() -> None:
    told = [("told", SYMBOL, "NetworkError: gone"), ("told", SYMBOL, "NetworkError: again")]
    comparison = compared(told, TRUTH, SPAN)
    assert comparison.told == {"NetworkError": 2}
    assert comparison.json()["trades"]["missing"] == 2
