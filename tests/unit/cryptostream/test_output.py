"""Figures for people: no price loses a digit, and what is computed keeps five."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptostream.output import common_decimals, computed, decimals_of, price


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (97287.93, "97,287.93"),
        (94248.7, "94,248.7"),
        (0.00000886, "0.00000886"),
        (1.2e-8, "0.000000012"),
        (0.52137, "0.52137"),
        (123456789012.25, "123,456,789,012.25"),
        (14512345.0, "14,512,345"),
        (0.0, "0"),
        (None, "–"),
    ],
)
def test_a_price_has_the_decimals_it_was_quoted_with(value: float | None, text: str) -> None:
    assert price(value) == text


def test_prices_side_by_side_have_the_decimals_of_their_instrument() -> None:
    prices = [94_248.7, 94_249.37, 94_250.0]
    decimals = common_decimals(prices)
    assert [price(value, decimals) for value in prices] == ["94,248.70", "94,249.37", "94,250.00"]


@given(st.integers(0, 10**15 - 1), st.integers(0, 18))
def test_every_decimal_string_of_fifteen_digits_comes_back(digits: int, decimals: int) -> None:
    text = f"{digits / 10**decimals:.{decimals}f}"
    value = float(text)
    assert float(price(value).replace(",", "")) == value
    assert decimals_of(value) <= max(decimals, 0) or value != digits / 10**decimals


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (64.94937470170684, None, "64.949"),
        (-5.22058824e-8, None, "-5.2206e-8"),
        (0.00012345678, None, "0.00012346"),
        (12345.678, None, "12,346"),
        (0.5, None, "0.5"),
        (0.0, None, "0"),
        # In a column whose largest value allows for few decimals a small one keeps its digits.
        (0.00123456, 2, "0.0012346"),
        (0.00000123456, 2, "1.2346e-6"),
        (0.00000123456, 11, "0.00000123456"),
        (123.4, 3, "123.400"),
    ],
)
def test_what_is_computed_has_five_digits_at_least(value: float, decimals: int | None, text: str) -> None:
    assert computed(value, decimals) == text


@given(st.floats(-1e12, 1e12), st.integers(0, 9))
def test_five_digits_are_never_lost(value: float, decimals: int) -> None:
    shown = float(computed(value, decimals).replace(",", ""))
    assert shown == pytest.approx(value, rel=5.1e-5, abs=0.0)
