"""Which of the settings' symbols a simulated exchange serves."""

from __future__ import annotations

import pytest

from shared.errors import UsageError
from shared.settings import Settings
from simulator.__main__ import symbols_on


def deployed(symbols: str, exchange: str = "binance") -> Settings:
    return Settings(_env_file=None, exchange=exchange, symbols=symbols)


def test_an_exchange_serves_its_own_symbols_of_a_deployment_of_several() -> None:
    settings = deployed("binance:BTCUSDC,kraken:BTC/USD,ETHUSDC,coinbase:BTC-USD")
    assert symbols_on("binance", settings) == ("BTCUSDC", "ETHUSDC")


def test_an_exchange_that_has_none_of_them_says_so() -> None:
    with pytest.raises(UsageError, match=r"^SYMBOLS: BTC/USD has none of binance; name some with --symbols$"):
        symbols_on("binance", deployed("BTC/USD", "kraken"))
