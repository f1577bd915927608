"""The feed answers a starting producer as an exchange whose stream its frames are."""

from __future__ import annotations

import orjson

from bench.feed import rest_answer
from bench.frames import SYMBOL, frames


def test_the_newest_trade_by_rest_is_the_one_before_the_first_frame() -> None:
    events = (orjson.loads(frame)["data"] for frame in frames(50, 1_785_767_100_000))
    first = next(event["t"] for event in events if event.get("e") == "trade")
    (row,) = rest_answer("/api/v3/ticker/24hr", f"symbols=%5B%22{SYMBOL}%22%5D")
    assert (row["symbol"], row["lastId"]) == (SYMBOL, first - 1)
    assert rest_answer("/api/v3/ticker/24hr", f"symbol={SYMBOL}") == row
