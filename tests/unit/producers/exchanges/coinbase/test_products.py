"""Coinbase's products: aliases, states, and one clear line for a wrong name."""

from __future__ import annotations

from typing import Any

import pytest

from producers.exchanges.coinbase.products import Product, product_of_row, resolve
from shared.errors import InvalidMessage, UnknownSymbol

ROW: dict[str, Any] = {
    "product_id": "BTC-USDC",
    "base_currency_id": "BTC",
    "quote_currency_id": "USDC",
    "alias": "BTC-USD",
    "price_increment": "0.01",
    "base_increment": "0.00000001",
    "status": "online",
    "trading_disabled": False,
}


def product(symbol: str) -> Product:
    base, _, quote = symbol.partition("-")
    return product_of_row(
        ROW | {"product_id": symbol, "base_currency_id": base, "quote_currency_id": quote, "alias": ""}
    )


PRODUCTS = {symbol: product(symbol) for symbol in ("BTC-USD", "BTC-USDC", "ETH-USD")}


def test_a_product_knows_under_which_name_it_is_streamed() -> None:
    found = product_of_row(ROW)
    assert found == Product("BTC-USDC", "BTC", "USDC", "BTC-USD", "0.01", "0.00000001", "online", True)
    assert product("ETH-USD").streamed_as == "ETH-USD"


@pytest.mark.parametrize(
    ("fields", "status", "trading"),
    [
        ({}, "online", True),
        ({"post_only": True, "limit_only": True}, "online", True),
        ({"status": "delisted", "trading_disabled": True}, "delisted, trading_disabled", False),
        ({"cancel_only": True}, "online, cancel_only", False),
        ({"status": "offline"}, "offline", False),
    ],
)
def test_whether_a_product_trades(fields: Any, status: str, trading: bool) -> None:
    found = product_of_row(ROW | fields)
    assert (found.status, found.trading) == (status, trading)


def test_a_row_of_another_form_names_its_field() -> None:
    with pytest.raises(InvalidMessage, match="base_increment"):
        product_of_row(ROW | {"base_increment": None})


@pytest.mark.parametrize(
    ("wrong", "way_out"),
    [
        *(
            (name, "write BTC-USD (base and quote are separated by a hyphen)")
            for name in ("BTCUSD", "BTC/USD", "btc-usd")
        ),
        ("XBT-USD", "nearest: BTC-USD, BTC-USDC, ETH-USD"),
        ("?", "see its products"),
    ],
)
def test_a_wrong_name_gets_one_line_with_the_right_one(wrong: str, way_out: str) -> None:
    with pytest.raises(UnknownSymbol) as raised:
        resolve(wrong, PRODUCTS)
    assert str(raised.value) == f"coinbase: '{wrong}' is not a product of Coinbase; {way_out}"
    assert resolve("BTC-USD", PRODUCTS) is PRODUCTS["BTC-USD"]
