"""Rows of snapshots as text: prices as they are quoted."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pipelines.snapshots.table import HEADINGS, computed, lines_of, price
from tests.snapshot_builders import row


def column(name: str, lines: list[list[str]]) -> list[str]:
    return [line[HEADINGS.index(name)] for line in lines]


def test_prices_of_one_symbol_have_the_same_decimals_and_none_of_another() -> None:
    lines = lines_of(
        [
            row(last_price="94248.70000000", best_bid="94249.37", best_ask="94250"),
            row(last_price="94200", best_bid="94199.5", best_ask="94200.5"),
            row(symbol="PEPEUSDT", last_price="0.00000886", best_bid="0.0000088", best_ask="0.000000012"),
        ]
    )
    assert column("last", lines) == ["94,248.70", "94,200.00", "0.000008860"]
    assert column("bid", lines) == ["94,249.37", "94,199.50", "0.000008800"]
    assert column("ask", lines) == ["94,250.00", "94,200.50", "0.000000012"]


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (Decimal("0.0000102812345"), 5, "0.000010281"),
        (Decimal("0.000008861234"), 10, "0.0000088612"),
        (Decimal("94249.3712345"), 4, "94,249.3712"),
        (Decimal(0), 5, "0"),
        (None, 5, "–"),
    ],
)
def test_what_is_computed_keeps_five_digits(value: Decimal | None, decimals: int, text: str) -> None:
    assert computed(value, decimals) == text


def test_a_price_loses_no_digit() -> None:
    assert price(Decimal("0.0000000012")) == "0.0000000012"
    assert price(Decimal("1E+3"), 2) == "1,000.00"
    assert price(None) == "–"
