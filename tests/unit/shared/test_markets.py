from __future__ import annotations

import pytest

from shared.markets import (
    NOTATIONS,
    Market,
    assets_of,
    exchanges_of,
    names_of,
    read_markets,
    split_market,
)


def test_a_name_without_a_prefix_belongs_to_the_exchange_in_force() -> None:
    assert read_markets(("btcusdc",), "binance") == (Market("binance", "BTCUSDC"),)
    assert read_markets(("BTC/USD", "Binance:btcusdc"), "kraken") == (
        Market("kraken", "BTC/USD"),
        Market("binance", "BTCUSDC"),
    )


def test_a_market_named_twice_is_one() -> None:
    assert read_markets(("kraken:BTC/USD", "btc/usd", "KRAKEN: BTC/USD"), "kraken") == (
        Market("kraken", "BTC/USD"),
    )


def test_exchanges_come_in_the_order_of_their_first_markets() -> None:
    markets = read_markets(("kraken:BTC/USD", "BTCUSDC", "kraken:ETH/USD", "coinbase:BTC-USD"), "binance")
    assert exchanges_of(markets) == ("kraken", "binance", "coinbase")


def test_a_market_is_written_as_the_key_of_its_records() -> None:
    assert str(Market("kraken", "BTC/USD")) == "kraken:BTC/USD"


def test_the_same_letters_on_two_exchanges_are_two_markets() -> None:
    assert len(set(read_markets(("binance:BTC-USD", "coinbase:BTC-USD"), "binance"))) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ftx:BTC", '"ftx:BTC" names no exchange that is here; exchanges: binance, kraken, coinbase'),
        (":BTC", '":BTC" names no exchange'),
        ("kraken:", '"kraken:" is not a symbol; write them like BTC/USD,ETH/USD'),
        ("kraken:BTC:USD", '"kraken:BTC:USD" is not a symbol'),
        ("kraken:BTCUSD", '"kraken:BTCUSD" is not a pair of Kraken; write base and quote with a slash'),
        ("kraken:BTC_USD", "like BTC/USD"),
        ("kraken:BTC/", '"kraken:BTC/" is not a pair of Kraken'),
        ("kraken:BTC/USD/EUR", '"kraken:BTC/USD/EUR" is not a pair of Kraken'),
        ("coinbase:BTCUSD", '"coinbase:BTCUSD" is not a product of Coinbase; write base and quote with'),
        ("coinbase:BTC/USD", "is not a product of Coinbase; write base and quote with a hyphen, like BTC"),
        ("coinbase:BTC$USD", '"coinbase:BTC$USD" is not a symbol; write them like BTC-USD,ETH-USD'),
        (f"kraken:{'X' * 40}/USD", "is not a symbol; write them like BTC/USD,ETH/USD"),
        ("BTC/USD/EUR", '"BTC/USD/EUR" is not a symbol; write them like BTCUSDC,ETHUSDC'),
        (
            "XBT/USD",
            '"XBT/USD" is not a symbol; write them like BTCUSDC,ETHUSDC'
            " (a pair of Kraken is named like kraken:BTC/USD)",
        ),
    ],
)  # fmt: skip
def test_a_wrong_name_is_shown_as_written_with_the_way_out(name: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_markets((name,), "binance")
    assert message in str(caught.value)


def test_a_name_of_another_exchange_says_how_that_one_is_named() -> None:
    with pytest.raises(ValueError) as caught:
        read_markets(("BTC-USD",), "kraken")
    assert str(caught.value) == (
        '"BTC-USD" is not a pair of Kraken; write base and quote with a slash, like BTC/USD'
        " (a product of Coinbase is named like coinbase:BTC-USD)"
    )
    with pytest.raises(ValueError) as caught:
        read_markets(("kraken:BTC-USD",), "kraken")
    assert str(caught.value).endswith("with a slash, like BTC/USD")


def test_a_name_is_split_at_its_first_colon() -> None:
    assert split_market("BTC/USD") == (None, "BTC/USD")
    assert split_market("Kraken:btc/usd") == ("kraken", "btc/usd")


@pytest.mark.parametrize("exchange", NOTATIONS)
def test_usual_symbols_are_written_rightly(exchange: str) -> None:
    usual = NOTATIONS[exchange].usual
    assert tuple(market.symbol for market in read_markets(usual, exchange)) == usual


@pytest.mark.parametrize(
    ("name", "assets"),
    [
        ("binance:BTCUSDC", ("BTC", "USDC")),
        ("binance:BTCFDUSD", ("BTC", "FDUSD")),
        ("binance:WBTCBTC", ("WBTC", "BTC")),
        ("binance:USDC", (None, None)),
        ("binance:NOPE", (None, None)),
        ("kraken:BTC/USD", ("BTC", "USD")),
        ("coinbase:BTC-USDC", ("BTC", "USDC")),
        ("coinbase:BTCUSDC", (None, None)),
        ("okx:BTC-USDC", (None, None)),
    ],
)
def test_base_and_quote_are_read_from_the_name(name: str, assets: tuple[str | None, str | None]) -> None:
    exchange, _, symbol = name.partition(":")
    assert assets_of(Market(exchange, symbol)) == assets


def test_people_see_the_exchange_only_where_there_are_several() -> None:
    one = read_markets(("BTCUSDC", "ETHUSDC"), "binance")
    assert list(names_of(one).values()) == ["BTCUSDC", "ETHUSDC"]
    two = read_markets(("BTCUSDC", "kraken:BTC/USD"), "binance")
    assert list(names_of(two).values()) == ["binance:BTCUSDC", "kraken:BTC/USD"]
