"""Generated closed bars, as on Kafka."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import Producer

from bench.topics import send
from consumers.indicators.bars import Bar
from shared.intervals import INTERVAL_MS
from shared.kafka import producer_config
from shared.messages import KlineMessage, encode
from shared.topics import klines_topic

SYMBOLS: Final = ("BTCUSDC", "ETHUSDC", "XRPUSDC", "SOLUSDC")


def walk(count: int, seed: int = 1) -> list[Bar]:
    """A random walk of prices with two decimals."""
    draw = random.Random(seed)
    bars, price = [], 6_000_000
    for number in range(count):
        opening = price
        price += draw.randint(-900, 900)
        high, low = max(opening, price) + draw.randint(0, 400), min(opening, price) - draw.randint(0, 400)
        bars.append(
            Bar(number * 60_000, opening / 100, high / 100, low / 100, price / 100, draw.random() * 40)
        )
    return bars


def fill(bootstrap_servers: str, bars: int, symbols: Sequence[str] = SYMBOLS, interval: str = "1m") -> int:
    """Publish bars up to now, a random walk for each symbol; open time of the first."""
    producer = Producer(producer_config(bootstrap_servers, "bench"))
    step_ms = INTERVAL_MS[interval]
    start_ms = (time.time_ns() // 1_000_000 // step_ms - bars) * step_ms
    walks = [walk(bars, seed) for seed in range(len(symbols))]
    for number in range(bars):
        for symbol, series in zip(symbols, walks, strict=True):
            message = _message(symbol, interval, start_ms + number * step_ms, series[number])
            send(producer, klines_topic(interval), f"binance:{symbol}".encode(), encode(message))
    producer.flush()
    return start_ms


def _message(symbol: str, interval: str, open_time_ms: int, bar: Bar) -> KlineMessage:
    """A closed bar as it is on Kafka."""
    end_ms = open_time_ms + INTERVAL_MS[interval]
    return {
        "schema": 1,
        "exchange": "binance",
        "symbol": symbol,
        "event_time_ms": end_ms + 2,
        "received_time_ms": end_ms + 5,
        "source": "stream",
        "interval": interval,
        "open_time_ms": open_time_ms,
        "close_time_ms": end_ms - 1,
        "open": f"{bar.open:.8f}",
        "high": f"{bar.high:.8f}",
        "low": f"{bar.low:.8f}",
        "close": f"{bar.close:.8f}",
        "base_volume": f"{bar.volume:.8f}",
        "quote_volume": f"{bar.close * bar.volume:.8f}",
        "trade_count": 12,
        "taker_buy_base_volume": f"{bar.volume / 2:.8f}",
        "taker_buy_quote_volume": f"{bar.close * bar.volume / 2:.8f}",
        "first_trade_id": 1,
        "last_trade_id": 12,
        "closed": True,
    }
