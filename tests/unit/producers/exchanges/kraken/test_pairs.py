"""Kraken's pairs: names, and one clear line for a wrong one."""

from __future__ import annotations

from typing import Any

import pytest

from producers.exchanges.kraken.pairs import Pair, listing_of, pair_of_listing, renamed, resolve
from producers.exchanges.rest_port import Listing
from shared.errors import InvalidMessage, UnknownSymbol

LISTING: dict[str, Any] = {
    "altname": "XBTUSD",
    "wsname": "XBT/USD",
    "pair_decimals": 1,
    "lot_decimals": 8,
    "tick_size": "0.1",
    "status": "online",
}


def pair(symbol: str) -> Pair:
    base, _, quote = symbol.partition("/")
    return Pair(symbol, base, quote, "", 1, 8, None, None, "online")


PAIRS = {symbol: pair(symbol) for symbol in ("BTC/USD", "BTC/USDT", "ETH/BTC", "DOGE/EUR", "ETH/USD")}


def test_a_listed_pair_has_its_present_name_and_that_of_rest() -> None:
    found = pair_of_listing("XBTUSD", LISTING)
    assert found == Pair("BTC/USD", "BTC", "USD", "XBTUSD", 1, 8, "0.1", None, "online")
    assert found.trading
    assert not pair_of_listing("XBTUSD", LISTING | {"status": "cancel_only"}).trading
    assert (renamed("XDG/XBT"), renamed("ETH/XBT"), renamed("ETH/USD")) == ("DOGE/BTC", "ETH/BTC", "ETH/USD")


def test_steps_that_rest_does_not_say_are_the_last_place() -> None:
    found = pair_of_listing("XBTUSD", LISTING)
    assert listing_of(found) == Listing("BTC", "USD", "0.1", "0.00000001")
    assert listing_of(found._replace(lot="0.0005")).lot == "0.0005"
    assert listing_of(found._replace(quantity_places=0)).lot == "1"


def test_a_listing_of_another_form_names_its_field() -> None:
    with pytest.raises(InvalidMessage, match="pair_decimals: missing"):
        pair_of_listing("X", {"wsname": "X/Y"})


def test_a_pair_is_found_by_its_name() -> None:
    assert resolve("BTC/USD", PAIRS) is PAIRS["BTC/USD"]


def test_a_pair_with_lower_case_letters_is_one_line_that_says_so() -> None:
    with pytest.raises(UnknownSymbol) as raised:
        resolve("AAPLX/USD", PAIRS | {"AAPLx/USD": pair("AAPLx/USD")})
    assert str(raised.value) == (
        "kraken: AAPLx/USD cannot be carried; names with lower-case letters, as tokenized stocks have,"
        " are not supported"
    )


def test_what_cannot_be_carried_is_not_suggested() -> None:
    with pytest.raises(UnknownSymbol, match="see the pairs of its AssetPairs"):
        resolve("AAPL/EURO", {"AAPLx/EUR": pair("AAPLx/EUR")})


SLASH = "write BTC/USD (base and quote are separated by a slash)"


@pytest.mark.parametrize(
    ("wrong", "way_out"),
    [
        *((name, SLASH) for name in ("BTCUSD", "XBTUSD", "XXBTZUSD", "BTC-USD")),
        ("XBT/USD", "write BTC/USD (XBT is called BTC)"),
        ("btc/usd", "write BTC/USD"),
        ("XDG/EUR", "write DOGE/EUR (XDG is called DOGE)"),
        ("BTC/USDC", "nearest: BTC/USD, BTC/USDT, ETH/USD"),
        ("?", "see the pairs of its AssetPairs"),
    ],
)
def test_a_wrong_name_gets_one_line_with_the_right_one(wrong: str, way_out: str) -> None:
    with pytest.raises(UnknownSymbol) as raised:
        resolve(wrong, PAIRS)
    assert str(raised.value) == f"kraken: '{wrong}' is not a pair of Kraken; {way_out}"
    assert raised.value.exit_code == 2
