"""Kraken's REST answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from producers.exchanges.kraken.answers import Candle, asset_pairs, candles, result_of, trades_page
from producers.exchanges.kraken.pairs import Pair
from shared.errors import ExchangeRefused, ExchangeUnavailable, InvalidMessage, UnknownSymbol
from shared.messages import check

PAIR = Pair("BTC/USD", "BTC", "USD", "XBTUSD", 1, 8, "0.1", None, "online")
ROW = ["105433.60000", "0.00027625", 1762795433.9717445, "b", "l", "", 10218208]


def result(body: Any, status: int = 200) -> Any:
    return result_of(status, {"location": "https://example.org"}, json.dumps(body).encode(), "GET Trades")


def page(rows: Any = (ROW,), last: Any = "1762795433971744500") -> Any:
    return trades_page(PAIR, result({"error": [], "result": {"XXBTZUSD": list(rows), "last": last}}), 5)


def test_a_row_that_cannot_be_read_is_rejected_alone_and_the_page_is_not_whole() -> None:
    rejected: list[tuple[Any, str]] = []
    rows = [ROW, [*ROW[:3], "x", *ROW[4:]]]
    content = result({"error": [], "result": {"XXBTZUSD": rows, "last": "1"}})
    found = trades_page(PAIR, content, 5, lambda *row: rejected.append(row))
    assert [trade["trade_id"] for trade in found.trades] == [ROW[6]]
    assert not found.whole and found.rows == 2
    assert rejected[0][1] == "side: 'x' is not b or s"


def test_trades_are_written_as_on_the_stream() -> None:
    (trade,), end_ns, _ = page()
    check("trade", trade)
    assert end_ns == 1762795433971744500
    assert (trade["symbol"], trade["trade_id"], trade["source"]) == ("BTC/USD", 10218208, "backfill")
    assert (trade["price"], trade["quantity"], trade["trade_time_ms"]) == (
        "105433.6",
        "0.00027625",
        1762795433971,
    )
    assert trade["buyer_is_maker"] is False


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (3, "x", "side: 'x' is not b or s"),
        (6, "a", "trade_id"),
        (0, "-1", "price"),
        (2, 1e15, "time"),
        (2, None, "time"),
    ],
)
def test_a_row_of_another_form_names_its_field(at: int, value: Any, said: str) -> None:
    row = [*ROW]
    row[at] = value
    with pytest.raises(InvalidMessage, match=said):
        page([row])


def test_an_answer_without_its_end_or_of_two_pairs_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="last"):
        page(last=None)
    with pytest.raises(InvalidMessage, match="rows of one pair"):
        trades_page(PAIR, {"A": [], "B": [], "last": "1"}, 5)


def test_candles_are_read_with_their_own_decimals() -> None:
    row = [1762777560, "106038.5", "106038.6", "106038.4", "106038.5", "106038.4", "0.99495458", 11]
    answer = result({"error": [], "result": {"XBTUSD": [row], "last": 1}})
    assert candles("1m", answer) == [
        Candle(1762777560000, "106038.5", "106038.6", "106038.4", "106038.5", "0.99495458", 11)
    ]
    with pytest.raises(InvalidMessage, match="a multiple of 1h"):
        candles("1h", answer)


def test_pairs_that_cannot_be_read_do_not_cost_the_others() -> None:
    good = {"altname": "XBTUSD", "wsname": "XBT/USD", "pair_decimals": 1, "lot_decimals": 8}
    pairs, faults = asset_pairs({"XXBTZUSD": good, "BAD": {"altname": "BAD"}, "ODD": 5, "XBTUSD.d": good})
    assert list(pairs) == ["BTC/USD"]
    assert list(faults) == ["BAD", "ODD"]


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ("EQuery:Unknown asset pair", UnknownSymbol, "does not know this pair"),
        ("EGeneral:Too many requests", ExchangeUnavailable, "wait 10 s"),
        ("EAPI:Rate limit exceeded", ExchangeUnavailable, "wait 10 s"),
        ("EGeneral:Temporary lockout", ExchangeUnavailable, "wait 900 s"),
        ("EService:Unavailable", ExchangeUnavailable, "does not answer now"),
        ("EGeneral:Internal error", ExchangeUnavailable, "does not answer now"),
        ("EGeneral:Invalid arguments", ExchangeRefused, "refused by the exchange"),
    ],
)
def test_errors_are_told_apart(said: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        result({"error": [said]})


def test_a_warning_beside_a_result_costs_nothing() -> None:
    warned = {"error": ["WGeneral:Deprecated"], "result": {"unixtime": 1}}
    assert result(warned) == {"unixtime": 1}
    with pytest.raises(ExchangeUnavailable, match="is not a JSON object"):
        result({"error": ["WGeneral:Deprecated"]})


@pytest.mark.parametrize("said", ["EService:Busy", "EService:Unavailable"])
def test_an_error_behind_a_warning_is_an_error(said: str) -> None:
    with pytest.raises(ExchangeUnavailable, match=said):
        result({"error": ["WGeneral:Deprecated", said], "result": {"unixtime": 1}})


@pytest.mark.parametrize("said", ["Whatever", "W:", 5, None])
def test_what_is_not_of_a_warnings_form_is_an_error(said: Any) -> None:
    with pytest.raises(ExchangeRefused):
        result({"error": [said], "result": {"unixtime": 1}})


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (408, b"<html>", ExchangeUnavailable),
        (503, b"busy", ExchangeUnavailable),
        (429, b"", ExchangeUnavailable),
        (301, b"", ExchangeRefused),
        (403, b"<html>", ExchangeRefused),
        (403, b'{"error":[]}', ExchangeRefused),
        (200, b"<html>", ExchangeUnavailable),
        (200, b"[]", ExchangeUnavailable),
        (200, b'{"error":[],"result":[]}', ExchangeUnavailable),
    ],
)
def test_other_answers(status: int, body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^GET Trades: "):
        result_of(status, {}, body, "GET Trades")
