"""Prices for the screen, from the store's newest rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from consumers.stores.port import Row
from cryptostream.run.price_watch import Newest, PriceWatch, instrument_view, newest_rows, with_trend
from cryptostream.run.view import InstrumentView
from shared.errors import StoreUnavailable
from shared.markets import Market


def test_the_open_bar_is_shown_while_it_is_newer_than_the_last_closed_one() -> None:
    newest: Newest = {
        ("kline", "1m"): {"time_ns": 60, "close": 10.0},
        ("kline_live", "1m"): {"time_ns": 120, "close": 11.0},
        ("indicator", "1m"): {"time_ns": 60, "momentum_rsi": 40.0},
        ("indicator_live", "1m"): {"time_ns": 0, "momentum_rsi": 99.0},
    }
    (bar,) = instrument_view("BTCUSDC", ["1m"], newest).bars
    assert (bar.close, bar.rsi, bar.open) == (11.0, 40.0, True)


def test_spread_is_relative_to_the_mid_price() -> None:
    view = instrument_view("X", [], {("quote", ""): {"time_ns": 1, "bid_price": 99.0, "ask_price": 101.0}})
    assert view.spread_bps == 200.0


def test_without_trades_the_shortest_bar_gives_the_price() -> None:
    minute, hour = ("kline", "1m"), ("kline", "1h")
    newest: Newest = {minute: {"time_ns": 1, "close": 10.0}, hour: {"time_ns": 1, "close": 9.0}}
    assert instrument_view("X", ["1s", "1m", "1h"], newest).last_price == 10.0
    traded: Newest = {**newest, ("trade", ""): {"time_ns": 2, "price": 10.5}}
    assert instrument_view("X", ["1s", "1m", "1h"], traded).last_price == 10.5


def test_a_price_that_rests_keeps_its_last_direction() -> None:
    rising = with_trend(InstrumentView("X", 1.0), InstrumentView("X", 2.0))
    assert rising.direction == 1
    assert with_trend(rising, InstrumentView("X", 2.0)).direction == 1
    assert with_trend(rising, InstrumentView("X", 1.5)).direction == -1


def test_a_store_that_comes_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cryptostream.run.price_watch._PERIOD_S", 0.01)
    read, tries = threading.Event(), []

    class Reader:
        def read(self, measurement: str, tags: Mapping[str, str], **_: Any) -> Iterator[Row]:
            if measurement == "kline_live":
                read.set()
            row: Row = {"time_ns": 1, "symbol": "BTCUSDC", "price": 5.0}
            return iter([row] if measurement == "trade" else [])

        def close(self) -> None:
            pass

    def open_reader() -> Reader:
        tries.append(1)
        if len(tries) < 3:
            raise StoreUnavailable("no such file yet")
        return Reader()

    watch = PriceWatch(open_reader, [Market("binance", "BTCUSDC")], ["1m"])
    assert read.wait(10)
    watch.close()
    assert len(tries) == 3
    assert watch.instruments[0].last_price == 5.0
    assert watch.problem is None


def test_indicators_are_sought_only_where_the_newest_bars_are() -> None:
    minute_ns = 60 * 10**9
    newest_open_ns = 1000 * minute_ns
    bar: Row = {"symbol": "BTCUSDC", "interval": "1m", "time_ns": newest_open_ns}
    asked = []

    class Reader:
        def read(
            self,
            measurement: str,
            tags: Mapping[str, str],
            *,
            from_ns: int | None = None,
            to_ns: int | None = None,
            last: int | None = None,
        ) -> Iterator[Row]:
            asked.append((measurement, dict(tags), from_ns))
            found = {"kline_live": [bar], "indicator": [{**bar, "momentum_rsi": 60.0}]}
            return iter(found.get(measurement, []))

        def close(self) -> None:
            pass

    rows = newest_rows(Reader(), "binance")
    assert rows["BTCUSDC"]["indicator", "1m"]["momentum_rsi"] == 60.0
    wide = [(tags, from_ns) for name, tags, from_ns in asked if name.startswith("indicator")]
    assert wide == [({"exchange": "binance", "interval": "1m"}, newest_open_ns - 10 * minute_ns)] * 2


def test_a_symbol_of_two_exchanges_shows_the_prices_of_each() -> None:
    read = threading.Event()

    class Reader:
        def read(self, measurement: str, tags: Any, **_: Any) -> Iterator[Row]:
            price = {"binance": 5.0, "coinbase": 6.0}[tags["exchange"]]
            if tags["exchange"] == "coinbase" and measurement == "kline_live":
                read.set()
            row: Row = {"time_ns": 1, "symbol": "BTC-USD", "price": price}
            return iter([row] if measurement == "trade" else [])

        def close(self) -> None:
            pass

    markets = [Market("binance", "BTC-USD"), Market("coinbase", "BTC-USD")]
    watch = PriceWatch(Reader, markets, ["1m"])
    assert read.wait(10)
    watch.close()
    assert [(view.symbol, view.last_price) for view in watch.instruments] == [
        ("binance:BTC-USD", 5.0),
        ("coinbase:BTC-USD", 6.0),
    ]
