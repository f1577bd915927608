"""Sends trades at a steady rate and notes when Kafka has acknowledged each.

python -m bench.dashboard.pacer BOOTSTRAP_SERVERS RATE SECONDS FILE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final

import orjson
from confluent_kafka import KafkaError, Message, Producer

from shared.kafka import producer_config
from shared.messages import encode
from shared.topics import TRADES

# Beyond those of the throughput's trades.
_FIRST_ID: Final = 10_000_000


def main() -> None:
    bootstrap_servers, rate, seconds, path = sys.argv[1:]
    period_s, count = 1 / float(rate), int(float(rate) * float(seconds))
    producer = Producer(producer_config(bootstrap_servers, "bench"))
    acknowledged_s: dict[str, float] = {}

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise RuntimeError(error.str())
        value = message.value() or b""
        acknowledged_s[str(orjson.loads(value)["trade_id"])] = time.time()

    began_s = time.monotonic()
    for number in range(count):
        producer.produce(TRADES, trade(_FIRST_ID + number), b"binance:BTCUSDT", on_delivery=delivered)
        while (wait_s := began_s + number * period_s - time.monotonic()) > 0:
            producer.poll(min(wait_s, 0.001))
        producer.poll(0)
    producer.flush(30)
    Path(path).write_bytes(orjson.dumps(acknowledged_s))


def trade(number: int) -> bytes:
    time_ms = time.time_ns() // 1_000_000
    return encode(
        {
            "schema": 1,
            "exchange": "binance",
            "symbol": "BTCUSDT",
            "event_time_ms": time_ms,
            "received_time_ms": time_ms,
            "source": "stream",
            "trade_id": number,
            "price": f"{61_000 + number % 997 / 100:.8f}",
            "quantity": f"{(number % 4_999 + 1) / 100_000:.8f}",
            "trade_time_ms": time_ms,
            "buyer_is_maker": number % 2 == 0,
        }
    )


if __name__ == "__main__":
    main()
