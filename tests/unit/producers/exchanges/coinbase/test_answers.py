"""Coinbase's REST answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from producers.exchanges.coinbase.answers import Candle, candles, decide, products, trades
from shared.errors import ExchangeRefused, ExchangeUnavailable, InvalidMessage, UnknownSymbol
from shared.messages import check

ADVANCED = {
    "trade_id": "995098663",
    "product_id": "BTC-USD",
    "price": "68923.67",
    "size": "0.00064",
    "time": "2026-04-07T00:28:58.544778Z",
    "side": "SELL",
}
EXCHANGE = {
    "trade_id": 995098663,
    "price": "68923.67000000",
    "size": "0.00064000",
    "time": "2026-04-07T00:28:58.544778Z",
    "side": "sell",
}


@pytest.mark.parametrize(
    "answer",
    [
        {"trades": [ADVANCED | {"trade_id": "995098664"}, ADVANCED]},
        [EXCHANGE | {"trade_id": 995098664}, EXCHANGE],
    ],
)
def test_trades_of_both_interfaces_come_by_id(answer: Any) -> None:
    older, newer = trades("BTC-USDC", answer, 5)
    check("trade", older)
    assert (older["trade_id"], newer["trade_id"]) == (995098663, 995098664)
    # Under the symbol that was asked for; the maker sold.
    assert (older["symbol"], older["source"], older["buyer_is_maker"]) == ("BTC-USDC", "backfill", False)
    assert older["trade_time_ms"] == 1775521738544


def test_candles_come_by_time() -> None:
    row = {
        "start": "1712192400",
        "low": "1",
        "high": "4",
        "open": "2",
        "close": "3",
        "volume": "355.82896243",
    }
    answer = {"candles": [row, row | {"start": "1712188800"}]}
    assert candles(answer) == [
        Candle(1712188800000, "2", "4", "1", "3", "355.82896243"),
        Candle(1712192400000, "2", "4", "1", "3", "355.82896243"),
    ]
    with pytest.raises(InvalidMessage, match="volume: missing"):
        candles({"candles": [{name: row[name] for name in row if name != "volume"}]})


def test_products_that_cannot_be_read_do_not_cost_the_others() -> None:
    good = {
        "product_id": "BTC-USD",
        "base_currency_id": "BTC",
        "quote_currency_id": "USD",
        "price_increment": "0.01",
        "base_increment": "0.00000001",
        "status": "online",
        "product_type": "SPOT",
    }
    future = good | {"product_id": "BIP", "product_type": "FUTURE"}
    found, faults = products({"products": [good, future, {"product_id": "BAD"}, 5]})
    assert list(found) == ["BTC-USD"]
    assert list(faults) == ["BAD", "5"]


@pytest.mark.parametrize(
    ("status", "headers", "body", "error", "said"),
    [
        (404, {}, b'{"error":"NOT_FOUND"}', UnknownSymbol, "does not know this product"),
        (429, {"retry-after": "3"}, b"", ExchangeUnavailable, "wait 3 s"),
        (429, {"retry-after": "soon"}, b"", ExchangeUnavailable, "wait 1 s"),
        (408, {}, b"", ExchangeUnavailable, "does not answer now"),
        (503, {}, b"", ExchangeUnavailable, "does not answer now"),
        (302, {"location": "https://example.org"}, b"", ExchangeRefused, "not followed"),
        (403, {}, b"<html>", ExchangeRefused, "refused by the exchange"),
        (200, {}, b"<html>", ExchangeUnavailable, "not JSON"),
        (200, {}, b"{}", ExchangeUnavailable, "candles: missing"),
    ],
)
def test_errors_are_told_apart(
    status: int, headers: Any, body: bytes, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=f"^GET candles: .*{said}"):
        decide(status, headers, body, "GET candles", candles)


def test_a_good_answer_is_read() -> None:
    assert decide(200, {}, json.dumps({"candles": []}).encode(), "GET candles", candles) == []
