"""Generated combined-stream frames in the live mix of a busy pair, with contiguous ids."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

import orjson

from shared.intervals import INTERVAL_MS

SYMBOL: Final = "BTCUSDT"
INTERVALS: Final = ("1s", "1m", "15m", "1h", "1d")
FIRST_UPDATE_ID: Final = 50_000_000_000
FIRST_TRADE_ID: Final = 3_700_000_000
# The proportions of a recorded ten minutes of BTCUSDT: 73,174 quotes, 19,904 trades, 6,495 diffs.
_QUOTES_PER_DIFF: Final = 11
_TRADES_PER_DIFF: Final = 3
_LEVELS_PER_DIFF: Final = 30


def frames(count: int, start_ms: int, seed: int = 1) -> Iterator[bytes]:
    """`count` frames; open bars update every two seconds of market time, none closes."""
    made = 0
    for made, (stream, data) in enumerate(_events(start_ms, random.Random(seed))):
        if made == count:
            return
        yield orjson.dumps({"stream": f"{SYMBOL.lower()}@{stream}", "data": data})


def snapshot() -> dict[str, Any]:
    """The REST snapshot that the book of these frames starts from."""
    return {
        "lastUpdateId": FIRST_UPDATE_ID,
        "bids": [[f"{61_000 - step / 100:.8f}", "1.00000000"] for step in range(1, 501)],
        "asks": [[f"{61_000 + step / 100:.8f}", "1.00000000"] for step in range(1, 501)],
    }


def _events(start_ms: int, chance: random.Random) -> Iterator[tuple[str, dict[str, Any]]]:
    update_id, trade_id, now_ms = FIRST_UPDATE_ID, FIRST_TRADE_ID, start_ms - start_ms % 2_000
    while True:
        now_ms += 100
        first, update_id = update_id, update_id + 40
        for number in range(_QUOTES_PER_DIFF):
            yield "bookTicker", _quote(first + number, chance)
        for _ in range(_TRADES_PER_DIFF):
            yield "trade", _trade(trade_id, now_ms, chance)
            trade_id += 1
        yield "depth@100ms", _diff(first, update_id - 1, now_ms, chance)
        if now_ms % 2_000 == 0:
            for interval in INTERVALS:
                yield f"kline_{interval}", _kline(interval, start_ms, now_ms, trade_id, chance)


def _price(chance: random.Random) -> str:
    return f"{61_000 + chance.randrange(-500, 500) / 100:.8f}"


def _quantity(chance: random.Random) -> str:
    return f"{chance.randrange(1, 500_000) / 100_000:.8f}"


def _quote(update_id: int, chance: random.Random) -> dict[str, Any]:
    return {
        "u": update_id,
        "s": SYMBOL,
        "b": "60999.99000000",
        "B": _quantity(chance),
        "a": "61000.01000000",
        "A": _quantity(chance),
    }


def _trade(trade_id: int, now_ms: int, chance: random.Random) -> dict[str, Any]:
    return {
        "e": "trade",
        "E": now_ms,
        "s": SYMBOL,
        "t": trade_id,
        "p": _price(chance),
        "q": _quantity(chance),
        "T": now_ms - 1,
        "m": chance.random() < 0.5,
        "M": True,
    }


def _level(sign: int, chance: random.Random) -> list[str]:
    return [f"{61_000 + sign * chance.randrange(1, 500) / 100:.8f}", _quantity(chance)]


def _diff(first: int, last: int, now_ms: int, chance: random.Random) -> dict[str, Any]:
    bids, asks = ([_level(sign, chance) for _ in range(_LEVELS_PER_DIFF)] for sign in (-1, 1))
    return {"e": "depthUpdate", "E": now_ms, "s": SYMBOL, "U": first, "u": last, "b": bids, "a": asks}


def _kline(interval: str, start_ms: int, now_ms: int, trade_id: int, chance: random.Random) -> dict[str, Any]:
    open_ms = start_ms - start_ms % INTERVAL_MS[interval]
    price = _price(chance)
    bar = {
        "t": open_ms,
        "T": open_ms + INTERVAL_MS[interval] - 1,
        "s": SYMBOL,
        "i": interval,
        "f": FIRST_TRADE_ID,
        "L": trade_id,
        "o": price,
        "c": price,
        "h": price,
        "l": price,
        "v": "10.00000000",
        "n": trade_id - FIRST_TRADE_ID + 1,
        "x": False,
        "q": "610000.00000000",
        "V": "5.00000000",
        "Q": "305000.00000000",
        "B": "0",
    }
    return {"e": "kline", "E": now_ms, "s": SYMBOL, "k": bar}
