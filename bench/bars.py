"""Closed bars as they are on Kafka, made up."""

from __future__ import annotations

import random
import time
from typing import Final

from confluent_kafka import Producer

from consumers.indicators.bars import Bar
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


def fill(bootstrap_servers: str, bars: int) -> int:
    """Put bars of a minute on their topic, of each symbol a random walk; open time of the first."""
    producer = Producer(producer_config(bootstrap_servers, "bench"))
    start_ms = (time.time_ns() // 60_000_000_000 - bars) * 60_000
    walks = [walk(bars, seed) for seed in range(len(SYMBOLS))]
    for number in range(bars):
        for symbol, series in zip(SYMBOLS, walks, strict=True):
            message = bar_message(symbol, start_ms + number * 60_000, series[number])
            producer.produce(klines_topic("1m"), encode(message), f"binance:{symbol}".encode())
        producer.poll(0)
    producer.flush()
    return start_ms


def bar_message(symbol: str, open_time_ms: int, bar: Bar) -> KlineMessage:
    """A closed bar of a minute as it is on Kafka."""
    return {
        "schema": 1,
        "exchange": "binance",
        "symbol": symbol,
        "event_time_ms": open_time_ms + 60_002,
        "received_time_ms": open_time_ms + 60_005,
        "source": "stream",
        "interval": "1m",
        "open_time_ms": open_time_ms,
        "close_time_ms": open_time_ms + 59_999,
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
