"""Consumer path: Kafka → points → InfluxDB acknowledged, beside the bare libraries on the same records.

The bare loops do the same work with the libraries alone: confluent-kafka reads batches, orjson decodes, the
same arithmetic computes the values, urllib3 posts gzipped line protocol and waits for the answer. Both are
timed by InfluxDB's own count of written points, from the first points to the last, without start-up.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
import urllib3
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from bench import bars
from bench.processes import cpu_s, resident_bytes
from bench.topics import create_topic, send
from bench.watch import Watch, consumer_process
from consumers.indicators.bars import Bar
from consumers.indicators.registry import indicator_set
from consumers.measurements import INDICATOR, Point, Series
from consumers.stores.line_protocol import LineEncoder
from cryptostream.engines.influxdb import InfluxServer
from cryptostream.topics_admin import ensure_topics
from shared.kafka import consumer_config, producer_config
from shared.messages import encode
from shared.topics import TRADES, indicator_state_topic, klines_topic

_DEADLINE_S: Final = 60.0
_BATCH: Final = 5_000  # what InfluxDB's manual advises for a request
# Thirty trades a second, a busy pair's pace; recent, so that no bucket refuses them.
_SPACING_MS: Final = 33

# Lines of one decoded record; may keep state from record to record.
Lines = Callable[[dict[str, Any]], bytes]


@dataclass(frozen=True)
class Path:
    """The path of one stream.

    Attributes:
        title: of the records.
        bucket: that the bare loop writes to.
        points: least number of points a record.
        lines: makes the bare loop's `Lines` of a round.
        state_topic: of our consumer, if it keeps state.
    """

    title: str
    topic: str
    bucket: str
    group: str
    arguments: tuple[str, ...]
    points: int
    lines: Callable[[], Lines]
    state_topic: str | None = None


def _trade_lines() -> Lines:
    def lines(trade: dict[str, Any]) -> bytes:
        maker = "true" if trade["buyer_is_maker"] else "false"
        return (
            f"trade,exchange={trade['exchange']},symbol={trade['symbol']} trade_id={trade['trade_id']}i,"
            f"price={float(trade['price'])},quantity={float(trade['quantity'])},buyer_is_maker={maker} "
            f"{trade['trade_time_ms'] * 1_000_000 + trade['trade_id'] % 1_000_000}"
        ).encode()

    return lines


def _bar_lines() -> Lines:
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


TRADE_PATH: Final = Path(
    "trades", "bench.trades", "ticks", "cryptostream.trades", ("--stream", "trades"), 1, _trade_lines
)
KLINE_PATH: Final = Path(
    "bars with all indicators",
    klines_topic("1m"),
    "market",
    "cryptostream.klines.1m",
    ("--stream", "klines", "--intervals", "1m"),
    2,
    _bar_lines,
    indicator_state_topic("1m"),
)


def fill_trades(bootstrap_servers: str, topic: str, count: int) -> None:
    """Put `count` trades of one symbol on a topic."""
    producer = Producer(producer_config(bootstrap_servers, "bench"))
    first_ms = time.time_ns() // 1_000_000 - count * _SPACING_MS
    for number in range(count):
        time_ms = first_ms + number * _SPACING_MS
        value = encode(
            {
                "schema": 1,
                "exchange": "binance",
                "symbol": "BTCUSDT",
                "event_time_ms": time_ms + 1,
                "received_time_ms": time_ms + 5,
                "source": "stream",
                "trade_id": number,
                "price": f"{61_000 + number % 997 / 100:.8f}",
                "quantity": f"{(number % 4_999 + 1) / 100_000:.8f}",
                "trade_time_ms": time_ms,
                "buyer_is_maker": number % 2 == 0,
            }
        )
        send(producer, topic, b"binance:BTCUSDT", value)
    producer.flush()


def bare(bootstrap_servers: str, influx: InfluxServer, path: Path, count: int) -> dict[str, float]:
    """One round of the bare loop, in this process."""
    watch = Watch(influx)
    consumer = Consumer(consumer_config(bootstrap_servers, f"bench-{time.time_ns()}", "bench"))
    consumer.subscribe([path.topic])
    http, lines = urllib3.PoolManager(), path.lines()
    headers = {"Authorization": f"Token {influx.token}", "Content-Encoding": "gzip"}
    url = f"{influx.url}/api/v2/write?org={influx.org}&bucket={path.bucket}&precision=ns"
    read = 0
    cpu = time.thread_time()  # Watch runs in another thread
    while read < count:
        batch = consumer.consume(_BATCH // path.points, timeout=0.2)
        if not batch:
            continue
        body = b"\n".join([lines(orjson.loads(record.value() or b"")) for record in batch])
        answer = http.request("POST", url, body=gzip.compress(body, 1), headers=headers)
        if answer.status != 204:
            raise SystemExit(f"InfluxDB answered {answer.status}: {answer.data[:200]!r}")
        read += len(batch)
    cpu = time.thread_time() - cpu
    consumer.close()
    pace = watch.wait_idle(path.points * count)
    return {"messages_per_s": count * pace.share / pace.seconds, "cpu_us": cpu / count * 1e6}


def ours(bootstrap_servers: str, influx: InfluxServer, path: Path, count: int) -> dict[str, float]:
    """One round of the real consumer process."""
    watch = Watch(influx)
    with consumer_process(bootstrap_servers, influx, path.arguments) as process:
        _until(lambda: watch.written() > watch.first, "the consumer did not begin to store in time")
        cpu = cpu_s(process)
        pace = watch.wait_idle(path.points * count)
        used = cpu_s(process) - cpu
        resident = resident_bytes(process) / 2**20
    _forget(bootstrap_servers, path)
    # Window summaries are points too; the rate is in records.
    return {
        "messages_per_s": count * pace.share / pace.seconds,
        "cpu_us": used / count * 1e6,
        "resident_mb": resident,
    }


def _forget(bootstrap_servers: str, path: Path) -> None:
    """Delete offsets and state, so that the next round begins at the first record."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 3})
    admin.delete_consumer_groups([path.group])[path.group].result(30)
    if path.state_topic is not None:
        # Records of a compacted topic cannot be deleted, so the topic is recreated.
        admin.delete_topics([path.state_topic])[path.state_topic].result(30)
        _until(
            lambda: path.state_topic not in admin.list_topics(timeout=10).topics, "the topic is still there"
        )
        ensure_topics(bootstrap_servers, ("1m",))


def _until(condition: Callable[[], bool], otherwise: str) -> None:
    give_up = time.monotonic() + _DEADLINE_S
    while not condition():
        if time.monotonic() > give_up:
            raise SystemExit(otherwise)
        time.sleep(0.05)


def prepare_trades(bootstrap_servers: str, count: int) -> None:
    """Fill `market.trades` for our rounds and another topic for the bare ones."""
    fill_trades(bootstrap_servers, TRADES, count)
    create_topic(bootstrap_servers, TRADE_PATH.topic)
    fill_trades(bootstrap_servers, TRADE_PATH.topic, count)


def prepare_klines(bootstrap_servers: str, count: int) -> None:
    """Fill the topic of one-minute bars with `count` of them; both sides read it."""
    bars.fill(bootstrap_servers, count // len(bars.SYMBOLS))
