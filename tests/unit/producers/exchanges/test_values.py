"""Exact decimals out of JSON."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.values import ZEROS, NotJson, decimal_text, decode_exact, is_zero, padded, scaled
from shared.errors import InvalidMessage
from shared.message_checks import is_decimal

DECIMALS = st.from_regex(r"(0|[1-9][0-9]{0,19})(\.[0-9]{1,20})?", fullmatch=True)


@given(DECIMALS)
def test_a_json_number_keeps_every_digit(text: str) -> None:
    decoded = decode_exact(f'{{"qty":{text}}}')["qty"]
    assert decimal_text("qty", decoded) == text


def test_a_float_would_have_lost_the_trailing_zeros() -> None:
    assert decode_exact(b"[0.10000000, 105944.20, 12345678901234.12345678]") == [
        "0.10000000",
        "105944.20",
        "12345678901234.12345678",
    ]
    assert decode_exact(b'{"trade_id":77000001}') == {"trade_id": 77000001}


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("1e-8", "0.00000001"),
        ("1E-08", "0.00000001"),
        ("1.50e-7", "0.000000150"),
        ("1.5e3", "1500"),
        ("12.345e+1", "123.45"),
        ("0e-10", "0.0000000000"),
        ("2e0", "2"),
    ],
)
def test_an_exponent_is_spelt_out(sent: str, text: str) -> None:
    assert decimal_text("qty", decode_exact(sent)) == text
    assert Decimal(sent) == Decimal(text)


@given(st.integers(0, 10**18), st.integers(-20, 1))
def test_a_spelt_out_number_is_the_same_number_and_of_the_contract(digits: int, exponent: int) -> None:
    text = decimal_text("qty", f"{digits}e{exponent}")
    assert is_decimal(text)
    assert Decimal(text) == Decimal(f"{digits}e{exponent}")


@pytest.mark.parametrize(
    "value", ["-1.5", "1e30", "1e-30", "", "nan", "٣", "+1", None, True, -1, 10**20, [], "1.", ".5"]
)
def test_what_is_no_decimal_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidMessage, match=r"^qty: "):
        decimal_text("qty", value)


@pytest.mark.parametrize("body", [b"{", b"NaN", b"[Infinity]", b"\xff", b"[" * 100_000, b"1" * 5_000])
def test_what_is_no_json_is_one_error(body: bytes) -> None:
    with pytest.raises(NotJson, match=r"^not JSON: "):
        decode_exact(body)


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        ("45285.2", 1, "45285.2"),
        ("0.001", 8, "0.00100000"),
        (65000, 1, "65000.0"),
        ("1.500", 1, "1.500"),
        (7, 0, "7"),
    ],
)
def test_zeros_are_added_and_digits_never_cut(value: object, places: int, text: str) -> None:
    assert padded("price", value, places) == text


@given(DECIMALS, DECIMALS)
def test_scaled_numbers_are_ordered_as_the_numbers(one: str, other: str) -> None:
    assert (scaled(one) < scaled(other)) is (Decimal(one) < Decimal(other))
    assert (scaled(one) == scaled(other)) is (Decimal(one) == Decimal(other))
    assert is_zero(one) is (Decimal(one) == 0)
    assert (one in ZEROS) is is_zero(one)


def test_all_texts_of_zero_are_known() -> None:
    assert all(is_decimal(text) and is_zero(text) for text in ZEROS)
    assert {"0", "0.0", "00.00", f"{'0' * 20}.{'0' * 20}"} <= ZEROS
    assert len(ZEROS) == 20 * 21
