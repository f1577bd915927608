"""Parameters of a request for rows: each is checked against the table, and each refusal names the way out."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest

from api.problems import Problem
from api.rows_request import Cursor, RowsRequest, read_rows_request, wanted_format
from consumers.tap.series import live_kinds

KINDS = live_kinds(("momentum_rsi",))


def read(query: str, kind: str = "kline") -> RowsRequest:
    return read_rows_request(KINDS[kind], parse_qsl(query, keep_blank_values=True))


def test_rows_name_the_tags_that_the_request_leaves_open() -> None:
    request = read("symbol=btcusdc&columns=close,open")
    assert request.tags == {"symbol": "BTCUSDC"}
    assert request.columns == ("time_ms", "exchange", "interval", "close", "open")
    assert request.types == ("int", "string", "string", "float", "float")


def test_a_time_is_iso_or_milliseconds() -> None:
    request = read("from=2026-08-03T14:25&to=1785767160000")
    assert (request.from_ns, request.to_ns) == (1_785_767_100_000_000_000, 1_785_767_160_000_000_000)


def test_without_a_span_the_newest_rows_are_meant() -> None:
    assert read("").last == 500
    assert read("to=1785767160000").last is None


def test_a_cursor_goes_on_where_a_page_ended() -> None:
    request = read("cursor=1785767100000000000.3&to=1785767160000")
    assert (request.from_ns, request.skip) == (1_785_767_100_000_000_000, 3)
    assert str(Cursor(5, 3)) == "5.3"


def test_exact_rows_have_decimals_in_the_place_of_floats() -> None:
    assert read("exact=1&symbol=A&exchange=b&interval=1m").types == ("int", *["decimal"] * 8, "int")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("form=1", r"'form': is no parameter here; choose from exchange, symbol, interval, from"),
        ("last=1&last=2", "last: is given twice"),
        ("from=yesterday", "from: 'yesterday' is not a time; write it like 2026-08-03"),
        ("from=1785767160000&to=1785767100000", "from: is not before `to`; swap them"),
        ("last=0", "last: '0' is not a count from 1 to 50,000"),
        ("last=" + "9" * 5_000, "last: '9999.*is not a count"),
        ("columns=close,price", "columns: 'price' is no column of kline; choose from open, high"),
        ("columns=", "columns: '' is no column"),
        ("interval=7m", "interval: '7m' is not an interval; choose from 1s, 1m"),
        ("symbol=" + "A" * 101, "symbol: 'AAA.*up to 100 printable characters"),
        ("symbol=A%00", r"symbol: 'A\\x00' cannot be a value"),
        ("cursor=x", "cursor: 'x' is not a `next` of an earlier answer; begin by `from`"),
        ("cursor=9999999999999999999.0", "cursor: .* is beyond all times"),
        ("cursor=1.0&last=3", "leave `from` and `last` out"),
        ("exact=yes", "exact: 'yes' is neither 0 nor 1"),
    ],
)
def test_what_cannot_be_used_is_named_with_the_way_out(query: str, said: str) -> None:
    with pytest.raises(Problem, match=said) as problem:
        read(query)
    assert problem.value.status == 422


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, "json"),
        ("*/*", "json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "json"),
        ("text/csv", "csv"),
        ("text/*", "csv"),
        ("application/json;q=0.5, application/x-ndjson", "ndjson"),
        ("text/csv;q=nonsense, */*;q=0.1", "json"),
    ],
)
def test_the_format_is_what_is_accepted_best(accept: Any, wanted: str) -> None:
    assert wanted_format(accept) == wanted


def test_a_format_that_we_do_not_have_is_refused() -> None:
    with pytest.raises(Problem, match="application/json, application/x-ndjson, text/csv") as problem:
        wanted_format("image/png")
    assert problem.value.status == 406
