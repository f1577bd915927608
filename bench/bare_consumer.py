"""The bare loop of the consumer path, in a process of its own: what the libraries take for the same records.

confluent-kafka reads batches, orjson decodes, the same arithmetic computes the values, urllib3 posts line
protocol and waits for the answer. It goes on until it is ended:

    python -m bench.bare_consumer trades|klines BROKERS TOPIC URL BUCKET gzip|identity

The token is in INFLUX_TOKEN.
"""

from __future__ import annotations

import gzip
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import orjson
import urllib3
from confluent_kafka import Consumer

from consumers.indicators.bars import Bar
from consumers.indicators.registry import indicator_set
from consumers.measurements import INDICATOR, Point, Series
from consumers.stores.line_protocol import LineEncoder
from shared.interpreter import freeze_gc
from shared.kafka import consumer_config

_BATCH: Final = 5_000  # points: what InfluxDB's manual advises for a request
_WAIT_S: Final = 0.2

# Lines of one decoded record; may keep state from record to record.
Lines = Callable[[dict[str, Any]], bytes]


def trade_lines() -> Lines:
    """Lines of trades, one for each."""

    def lines(trade: dict[str, Any]) -> bytes:
        maker = "true" if trade["buyer_is_maker"] else "false"
        return (
            f"trade,exchange={trade['exchange']},symbol={trade['symbol']} trade_id={trade['trade_id']}i,"
            f"price={float(trade['price'])},quantity={float(trade['quantity'])},buyer_is_maker={maker} "
            f"{trade['trade_time_ms'] * 1_000_000 + trade['trade_id'] % 1_000_000}"
        ).encode()

    return lines


def bar_lines() -> Lines:
    """Lines of bars and of all their indicators, two for each bar."""
    indicators, encoder = indicator_set(), LineEncoder()
    measurement = INDICATOR.with_columns(indicators.columns)
    states: dict[str, Any] = {}
    series: dict[str, Series] = {}

    def lines(bar: dict[str, Any]) -> bytes:
        symbol, interval, time_ms = bar["symbol"], bar["interval"], bar["open_time_ms"]
        if symbol not in states:
            states[symbol] = indicators.initial()
            series[symbol] = Series(measurement, (bar["exchange"], symbol, interval))
        opening, high, low, close = (
            float(bar["open"]),
            float(bar["high"]),
            float(bar["low"]),
            float(bar["close"]),
        )
        volume = float(bar["base_volume"])
        states[symbol], values = indicators.step(
            states[symbol], Bar(time_ms, opening, high, low, close, volume)
        )
        kline = (
            f"kline,exchange={bar['exchange']},symbol={symbol},interval={interval} open={opening},"
            f"high={high},low={low},close={close},base_volume={volume},quote_volume={float(bar['quote_volume'])},"
            f"trade_count={bar['trade_count']}i,"
            f"taker_buy_base_volume={float(bar['taker_buy_base_volume'])},"
            f"taker_buy_quote_volume={float(bar['taker_buy_quote_volume'])} {time_ms * 1_000_000}"
        ).encode()
        line = encoder.line(Point(series[symbol], time_ms * 1_000_000, values))
        return kline + b"\n" + line if line else kline

    return lines


# By stream: the lines, and points of a record.
STREAMS: Final[dict[str, tuple[Callable[[], Lines], int]]] = {
    "trades": (trade_lines, 1),
    "klines": (bar_lines, 2),
}


def main() -> None:
    stream, bootstrap_servers, topic, url, bucket, encoding = sys.argv[1:]
    make_lines, points = STREAMS[stream]
    consumer = Consumer(consumer_config(bootstrap_servers, f"bench-{time.time_ns()}", "bench"))
    consumer.subscribe([topic])
    http, lines = urllib3.PoolManager(), make_lines()
    headers = {"Authorization": f"Token {os.environ['INFLUX_TOKEN']}"}
    if encoding == "gzip":
        headers["Content-Encoding"] = "gzip"
    address = f"{url}/api/v2/write?org=crypto&bucket={bucket}&precision=ns"
    freeze_gc()
    while True:
        batch = consumer.consume(_BATCH // points, timeout=_WAIT_S)
        if not batch:
            continue
        body = b"\n".join([lines(orjson.loads(record.value() or b"")) for record in batch])
        if encoding == "gzip":
            body = gzip.compress(body, 1)
        answer = http.request("POST", address, body=body, headers=headers)
        if answer.status != 204:
            raise SystemExit(f"InfluxDB answered {answer.status}: {answer.data[:200]!r}")


if __name__ == "__main__":
    main()
