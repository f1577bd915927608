from __future__ import annotations

from consumers.stores.port import Row
from shared.errors import StoreUnavailable
from tests.unit.api.api_parts import T0_MS, T0_NS, bars, client


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


def test_whose_prices_they_are_is_said_where_they_are_not_the_exchanges_own() -> None:
    names = ("BTCUSDC", "kraken:BTC/USD", "coinbase:BTC-USD")
    asked = client(
        symbols=names, kraken_ws_url="ws://user:secret@127.0.0.1:9000/x", coinbase_ws_url="ws://[::1]"
    )
    answer = asked.get("/api/v1/instruments").json()
    assert [each["stands_in"] for each in answer["instruments"]] == [None, "127.0.0.1:9000", "[::1]"]


TOLD: Row = {
    "exchange": "binance",
    "symbol": "BTCUSDC",
    "base": "BTC",
    "quote": "USDC",
    "tick": 0.01,
    "lot": 1e-5,
    "status": "BREAK",
    "bars_from": "native",
    "book_proved_by": "ids",
    "quotes_from": "stream",
}


def test_what_an_exchange_says_of_an_instrument_is_null_until_its_producer_has_told_it() -> None:
    stored: list[Row] = [{**TOLD, "time_ns": T0_NS - 5, "status": "TRADING"}, {**TOLD, "time_ns": T0_NS}]
    stored.append({"time_ns": T0_NS, "exchange": "coinbase", "symbol": "ABC"})
    symbols = ("BTCUSDC", "ETHUSDC", "coinbase:ABC-USD")
    answer = client({"instrument": stored}, symbols=symbols).get("/api/v1/instruments").json()
    told, untold, other = answer["instruments"]  # the store's "ABC" has no bars: nobody can look at it
    assert {
        name: told[name] for name in ("base", "quote", "tick", "lot", "alias", "status", "listed_ms")
    } == {
        "base": "BTC",
        "quote": "USDC",
        "tick": 0.01,
        "lot": 1e-5,
        "alias": None,
        "status": "BREAK",
        "listed_ms": T0_MS,
    }
    assert told["promises"] == {
        "trades_repaired_by": None,
        "bars_from": "native",
        "book_proved_by": "ids",
        "quotes_from": "stream",
    }
    for each in (untold, other):
        assert [each[name] for name in ("tick", "lot", "alias", "status", "promises", "listed_ms")] == [
            None
        ] * 6
    assert (untold["base"], untold["quote"]) == ("ETH", "USDC")  # by its name


def test_the_assets_are_the_exchanges_where_it_has_said_them() -> None:
    stored: Row = {"time_ns": T0_NS, "exchange": "binance", "symbol": "ABCXYZ", "base": "ABC", "quote": "XYZ"}
    (told,) = (
        client({"instrument": [stored]}, symbols=("ABCXYZ",)).get("/api/v1/instruments").json()["instruments"]
    )
    assert (told["base"], told["quote"]) == ("ABC", "XYZ")
    (untold,) = client(symbols=("ABCXYZ",)).get("/api/v1/instruments").json()["instruments"]
    assert (untold["base"], untold["quote"]) == (None, None)


def test_without_the_store_those_of_the_settings_are_known() -> None:
    answer = client(failure=StoreUnavailable("no answer")).get("/api/v1/instruments")
    assert answer.status_code == 200
    assert [each["symbol"] for each in answer.json()["instruments"]] == ["BTCUSDC"]
    assert answer.json()["reason"] == "history is away: no answer"


def test_a_parameter_where_none_is_taken_is_refused_with_a_way_out() -> None:
    detail = client().get("/api/v1/instruments?x=1").json()["detail"]
    assert detail == "'x': is no parameter here; this takes none, leave it out"
