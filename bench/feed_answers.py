"""What REST answers a client of `bench.feed`: an exchange whose stream its frames are."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from bench.frames import FIRST_TRADE_ID, SYMBOL, snapshot
from shared.intervals import INTERVAL_MS

# Far above what a hundred symbols ask for at their start: pacing by weight is not what is measured.
_WEIGHT_LIMIT: Final = 6_000_000


def rest_answer(
    path: str, query: str = "", begin_ms: int | None = None, symbols: Sequence[str] = (SYMBOL,)
) -> Any:
    """What a starting client is told: an exchange whose next trade is the first one of the frames.

    Args:
        begin_ms: of the frames; None before that is known. All bars before it are flat.
        symbols: that it lists.
    """
    now_ms = time.time_ns() // 1_000_000
    asked = {name: values[0] for name, values in parse_qs(query).items()}
    match path.rsplit("/", 1)[-1]:
        case "time":
            return {"serverTime": now_ms}
        case "depth":
            return snapshot()
        case "exchangeInfo":
            return _listing(symbols, now_ms)
        case "24hr":
            chosen = orjson.loads(asked["symbols"]) if "symbols" in asked else [asked.get("symbol", SYMBOL)]
            tickers = [{"symbol": one, "firstId": 1, "lastId": FIRST_TRADE_ID - 1} for one in chosen]
            return tickers if "symbols" in asked else tickers[0]
        case "klines":
            return _flat_bars(asked, now_ms if begin_ms is None else begin_ms)
        case name:
            return [] if name in {"historicalTrades", "aggTrades", "trades"} else {}


def _listing(symbols: Sequence[str], now_ms: int) -> dict[str, Any]:
    limit = {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": _WEIGHT_LIMIT,
    }
    filters = [{"filterType": "PRICE_FILTER", "tickSize": "0.01000000"}]
    listed = [
        {
            "symbol": symbol,
            "status": "TRADING",
            "baseAsset": symbol.removesuffix("USDT"),
            "quoteAsset": "USDT",
            "filters": filters,
        }
        for symbol in symbols
    ]
    return {"timezone": "UTC", "serverTime": now_ms, "rateLimits": [limit], "symbols": listed}


def _flat_bars(asked: Mapping[str, str], begin_ms: int) -> list[list[Any]]:
    """The closed bars of a market without trades."""
    step = INTERVAL_MS[asked["interval"]]
    first, last = int(asked["startTime"]), min(int(asked["endTime"]), begin_ms - step)
    price, zero = snapshot()["bids"][0][0], "0.00000000"
    return [
        [open_ms, *[price] * 4, zero, open_ms + step - 1, zero, 0, zero, zero, "0"]
        for open_ms in range(-(-first // step) * step, last + 1, step)[: int(asked["limit"])]
    ]
