from __future__ import annotations

from shared.errors import StoreUnavailable
from tests.unit.api.api_parts import T0_MS, bars, client


def test_instruments_are_those_of_the_settings_and_of_the_store() -> None:
    stored = [*bars(2), *bars(1, symbol="ADAUSDC", interval="1h"), *bars(1, symbol="ADAUSDC", interval="1s")]
    answer = client({"kline": stored}, symbols=("ETHUSDC", "BTCUSDC")).get("/api/v1/instruments").json()
    assert answer["reason"] is None
    assert [
        (each["symbol"], each["intervals"], each["configured"], each["newest_ms"])
        for each in answer["instruments"]
    ] == [
        ("ETHUSDC", ["1m"], True, None),
        ("BTCUSDC", ["1m"], True, T0_MS + 60_000),
        ("ADAUSDC", ["1s", "1h"], False, T0_MS),
    ]


def test_markets_of_several_exchanges_are_listed_with_their_assets() -> None:
    stored = [
        *bars(2, exchange="coinbase", symbol="BTC-USD"),
        *bars(1, symbol="BTC-USD"),
        *bars(1, exchange="okx", symbol="BTC-USD"),
    ]
    names = ("BTCUSDC", "kraken:BTC/USD", "coinbase:BTC-USD")
    answer = client({"kline": stored}, symbols=names).get("/api/v1/instruments").json()
    assert [
        (each["exchange"], each["symbol"], each["base"], each["quote"], each["configured"], each["newest_ms"])
        for each in answer["instruments"]
    ] == [
        ("binance", "BTCUSDC", "BTC", "USDC", True, None),
        ("kraken", "BTC/USD", "BTC", "USD", True, None),
        ("coinbase", "BTC-USD", "BTC", "USD", True, T0_MS + 60_000),
        # The same name elsewhere is another market.
        ("binance", "BTC-USD", "BTC", "USD", False, T0_MS),
        ("okx", "BTC-USD", None, None, False, T0_MS),
    ]


def test_without_the_store_those_of_the_settings_are_known() -> None:
    answer = client(failure=StoreUnavailable("no answer")).get("/api/v1/instruments")
    assert answer.status_code == 200
    assert [each["symbol"] for each in answer.json()["instruments"]] == ["BTCUSDC"]
    assert answer.json()["reason"] == "history is away: no answer"


def test_a_parameter_where_none_is_taken_is_refused_with_a_way_out() -> None:
    detail = client().get("/api/v1/instruments?x=1").json()["detail"]
    assert detail == "'x': is no parameter here; this takes none, leave it out"
