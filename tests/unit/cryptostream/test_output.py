"""Figures for people: no price loses a digit, and what is computed keeps five."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from cryptostream.output import common_decimals, computed, decimals_of, price, write_columns
from shared.shown import shown


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


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(
    width: int | None, monkeypatch: pytest.MonkeyPatch, *rows: tuple[str, ...], **options: Any
) -> list[str]:
    """Lines of a table; without a width into a file."""
    out = io.StringIO() if width is None else Terminal()
    monkeypatch.setenv("COLUMNS", str(width or 20))
    write_columns(("letter", "bytes", "why"), rows, out, right=("bytes",), **options)
    return out.getvalue().splitlines()


WHY = "price: '-1' is not a decimal number without a sign"


def test_a_table_that_fits_is_one_line_a_row_and_so_is_every_one_in_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wide = ["letter  bytes  why", f"0@17      900  {WHY}"]
    for width in (15 + len(WHY), None):
        assert drawn(width, monkeypatch, ("0@17", "900", WHY), leaving=("bytes",)) == wide


def test_the_last_text_is_wrapped_below_its_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(45, monkeypatch, ("0@17", "900", WHY), ("0@18", "1", "")) == [
        "letter  bytes  why",
        "0@17      900  price: '-1' is not a decimal",
        "               number without a sign",
        "0@18        1",
    ]


def test_where_there_is_no_room_beside_the_others_it_stands_below_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert drawn(30, monkeypatch, ("0@17", "900", WHY), ("0@18", "1", "x" * 40)) == [
        "letter  bytes  why",
        "0@17      900",
        "    price: '-1' is not a",
        "    decimal number without a",
        "    sign",
        "0@18        1",
        "    " + "x" * 26,
        "    " + "x" * 14,
    ]


def test_columns_leave_before_a_text_has_too_little_room_and_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert drawn(33, monkeypatch, ("0@17", "900", WHY), leaving=("bytes", "letter")) == [
        "letter  why",
        "0@17    price: '-1' is not a",
        "        decimal number without a",
        "        sign",
        "left out, the screen has 33 columns: bytes; --format csv has all",
    ]


def test_figures_are_never_cut_and_one_column_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setenv("COLUMNS", "10")
    headings = ("expected", "stored", "lost")
    write_columns(
        headings, [("1,234,567", "8", "9")], out, right=headings, leaving=headings[::-1], whole="json"
    )
    assert out.getvalue().splitlines()[:2] == [" expected", "1,234,567"]
    assert "lost, stored; --format json has all" in out.getvalue()


@given(
    st.lists(st.tuples(st.text(max_size=30), st.text("0123456789", max_size=9), st.text()), max_size=4),
    st.integers(26, 90),
)
def test_no_line_is_wider_than_the_screen_and_no_letter_is_lost(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    out = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        write_columns(("letter", "bytes", "why"), rows, out, right=("bytes",), leaving=("bytes", "letter"))
    lines = out.getvalue().split("\n")
    assert all(cell_len(line) <= width for line in lines if not line.startswith("left out"))
    for row in rows:
        assert "".join(shown(row[2]).split()) in "".join(out.getvalue().split())
