"""A symbol has started when all that is promised of it has come once."""

from __future__ import annotations

import orjson

from bench.venue_footprint import SYMBOLS, Started
from shared.topics import BOOK, METRICS, TRADES, klines_topic

BARS = klines_topic("1s")


def record(symbol: str, **more: object) -> bytes:
    return orjson.dumps({"exchange": "kraken", "symbol": symbol, **more})


def test_the_last_of_trade_book_and_bar_counts_and_the_first_of_each() -> None:
    started = Started({"kraken": 100.0})
    for symbol in SYMBOLS["kraken"]:
        started.take(TRADES, record(symbol), 101.0)
        started.take(TRADES, record(symbol), 109.0)
        started.take(BARS, record(symbol), 103.0)
        assert not started.all
        started.take(BOOK, record(symbol, synced=True), 102.0)
    assert started.all
    assert started.seconds == {"kraken": dict.fromkeys(SYMBOLS["kraken"], 3.0)}


def test_a_book_out_of_step_is_no_start_and_is_named_as_missing() -> None:
    started = Started({"kraken": 100.0})
    started.take(BOOK, record("BTC/USD", synced=False), 101.0)
    assert f"kraken:BTC/USD {BOOK}" in started.missing


def test_other_topics_and_symbols_are_passed_over() -> None:
    started = Started({"kraken": 100.0})
    started.take(METRICS, b"no json", 101.0)
    started.take(TRADES, record("DOGE/USD"), 101.0)
    assert len(started.missing) == 3 * len(SYMBOLS["kraken"])
