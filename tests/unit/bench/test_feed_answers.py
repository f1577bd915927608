"""The feed answers a starting producer as an exchange whose stream its frames are."""

from __future__ import annotations

import orjson

from bench.feed_answers import rest_answer
from bench.frames import SYMBOL, frames, symbols_of


def test_the_newest_trade_by_rest_is_the_one_before_the_first_frame() -> None:
    events = (orjson.loads(frame)["data"] for frame in frames(50, 1_785_767_100_000))
    first = next(event["t"] for event in events if event.get("e") == "trade")
    (row,) = rest_answer("/api/v3/ticker/24hr", f"symbols=%5B%22{SYMBOL}%22%5D")
    assert (row["symbol"], row["lastId"]) == (SYMBOL, first - 1)
    assert rest_answer("/api/v3/ticker/24hr", f"symbol={SYMBOL}") == row


def test_bars_before_the_frames_are_flat_and_whole() -> None:
    query = "symbol=BTCUSDT&interval=1s&startTime=4500&endTime=99999&limit=1000"
    rows = rest_answer("/api/v3/klines", query, begin_ms=8_500)
    assert [row[0] for row in rows] == [5_000, 6_000, 7_000]
    assert all(row[1:5] == [row[1]] * 4 and row[6] == row[0] + 999 and row[8] == 0 for row in rows)
    assert len(rest_answer("/api/v3/klines", query.replace("1000", "2"), begin_ms=8_500)) == 2


def test_all_markets_are_listed_with_their_steps_of_price() -> None:
    symbols = symbols_of(3)
    listing = rest_answer("/api/v3/exchangeInfo", symbols=symbols)
    assert [row["symbol"] for row in listing["symbols"]] == list(symbols)
    assert listing["symbols"][0]["filters"][0]["tickSize"] == "0.01000000"
    rows = rest_answer("/api/v3/ticker/24hr", f"symbols=%5B%22{symbols[1]}%22%5D", symbols=symbols)
    assert [row["symbol"] for row in rows] == [symbols[1]]
