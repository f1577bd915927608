"""Which exchange a symbol of the command line belongs to."""

from __future__ import annotations

import pytest

from cryptostream.markets import chosen_market, filtered_market
from shared.errors import UsageError
from shared.markets import Market
from shared.settings import Settings, load_settings


def deployed(symbols: str, exchange: str = "binance") -> Settings:
    return load_settings(symbols=symbols, exchange=exchange)


SEVERAL = "BTCUSDC,kraken:BTC/USD,coinbase:BTC-USD,BTC-USD"


def test_a_prefix_says_it_whatever_is_deployed() -> None:
    assert chosen_market("Kraken:eth/usd", deployed(SEVERAL)) == Market("kraken", "ETH/USD")
    assert chosen_market("binance:BTC-USD", deployed(SEVERAL)) == Market("binance", "BTC-USD")


def test_without_a_prefix_it_is_the_one_that_has_it() -> None:
    assert chosen_market("btc/usd", deployed(SEVERAL)) == Market("kraken", "BTC/USD")
    assert filtered_market("btc/usd", deployed(SEVERAL)) == ("kraken", "BTC/USD")


def test_of_what_nobody_has_it_is_the_one_in_force() -> None:
    assert chosen_market("DOGEUSDC", deployed(SEVERAL)) == Market("binance", "DOGEUSDC")
    assert chosen_market("DOGE/USD", deployed("BTC/USD", "kraken")) == Market("kraken", "DOGE/USD")
    assert filtered_market("DOGEUSDC", deployed(SEVERAL)) == (None, "DOGEUSDC")


@pytest.mark.parametrize("choose", [chosen_market, filtered_market])
def test_what_two_have_has_to_be_said(choose: object) -> None:
    with pytest.raises(UsageError) as caught:
        choose("BTC-USD", deployed(SEVERAL))  # type: ignore[operator]
    assert str(caught.value) == (
        "BTC-USD: several exchanges of SYMBOLS have it; say which one: coinbase:BTC-USD or binance:BTC-USD"
    )


def test_an_exchange_named_aside_decides_but_does_not_contradict() -> None:
    assert chosen_market("BTC-USD", deployed(SEVERAL), "Coinbase") == Market("coinbase", "BTC-USD")
    # A store may hold what another version's exchange has brought.
    assert chosen_market("BTC", deployed(SEVERAL), "okx") == Market("okx", "BTC")
    with pytest.raises(UsageError, match="--exchange binance: kraken:BTC/USD names another one"):
        chosen_market("kraken:BTC/USD", deployed(SEVERAL), "binance")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftx:BTC", '"ftx:BTC" names no exchange that is here; exchanges: binance, kraken, coinbase'),
        ("kraken:BTCUSD", "'BTCUSD' is not a pair of Kraken; write base and quote with a slash"),
        ("kraken:XBT/USD", "'XBT/USD' is an old name of a pair of Kraken; write BTC/USD"),
        ("coinbase:BTC/USD", "'BTC/USD' is not a product of Coinbase; write base and quote with a hyphen"),
    ],
)
def test_a_wrong_name_is_one_line_with_the_right_form(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        chosen_market(text, deployed(SEVERAL))
    assert message in str(caught.value)
