"""Which instruments of requests are those of the settings."""

from __future__ import annotations

from api.configured import configured_instruments, is_configured
from shared.settings import load_settings


def test_markets_of_every_exchange_are_configured_and_no_others() -> None:
    configured = configured_instruments(load_settings(symbols="BTCUSDC,kraken:BTC/USD", exchange="binance"))
    assert configured == {("binance", "BTCUSDC"), ("kraken", "BTC/USD")}
    assert is_configured({"exchange": "kraken", "symbol": "BTC/USD"}, configured)
    assert is_configured({"symbol": "BTC/USD"}, configured)
    assert is_configured({"exchange": "kraken"}, configured)
    assert not is_configured({"exchange": "binance", "symbol": "BTC/USD"}, configured)
