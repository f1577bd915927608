"""Consumer path: Kafka → points → InfluxDB acknowledged, beside the bare libraries on the same trades.

The bare loop does the same work by the libraries alone: confluent-kafka reads batches, orjson decodes, an
f-string makes line protocol, urllib3 posts it gzipped and waits for the answer. Both are timed from outside,
by InfluxDB's own count of written points, from the first points to the last: start-up counts for neither.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import psutil
import urllib3
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from bench.limits import create_topic
from consumers.indicators.bars import Bar
from cryptostream.engines.influxdb import InfluxServer
from shared.kafka import consumer_config, producer_config
from shared.messages import KlineMessage, encode
from shared.topics import TRADES, klines_topic

_IDLE_S: Final = 2.0  # no new point for so long: all are written
_DEADLINE_S: Final = 180.0
_GROUP: Final = "cryptostream.trades"
_BATCH: Final = 5_000  # what InfluxDB's manual advises for a request
# Thirty trades a second, a busy pair's pace; recent, so that no bucket refuses them.
_SPACING_MS: Final = 33


def fill(bootstrap_servers: str, topic: str, count: int) -> None:
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
        while True:
            try:
                producer.produce(topic, value, b"binance:BTCUSDT")
                break
            except BufferError:
                producer.poll(0.05)
        if number % 1_000 == 0:
            producer.poll(0)
    producer.flush()


@dataclass(frozen=True)
class Pace:
    """What InfluxDB saw: points and seconds from its first points to its last."""

    points: int
    seconds: float


class Watch:
    """Follows InfluxDB's count of written points in a thread of its own."""

    def __init__(self, influx: InfluxServer) -> None:
        self._url = f"{influx.url}/metrics"
        self._http = urllib3.PoolManager()
        self._seen: list[tuple[float, int]] = [(time.monotonic(), self.written())]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def written(self) -> int:
        text = self._http.request("GET", self._url).data.decode()
        sums = (line for line in text.splitlines() if line.startswith("storage_writer_ok_points_sum"))
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in sums)

    def wait_idle(self, at_least: int, idle_s: float = _IDLE_S) -> Pace:
        """Until `at_least` points have come and none for `idle_s`; the pace from the first to the last."""
        give_up = time.monotonic() + _DEADLINE_S
        while True:
            moved = [self._seen[0]] + [
                now for last, now in zip(self._seen, self._seen[1:], strict=False) if now[1] != last[1]
            ]
            if moved[-1][1] - moved[0][1] >= at_least and time.monotonic() - moved[-1][0] > idle_s:
                self._stop.set()
                (start, first), (end, last) = moved[1], moved[-1]
                return Pace(last - first, end - start)
            if time.monotonic() > give_up:
                raise SystemExit(
                    f"only {moved[-1][1] - moved[0][1]} of {at_least} points were stored in time"
                )
            time.sleep(0.1)

    def _follow(self) -> None:
        while not self._stop.wait(0.02):
            self._seen.append((time.monotonic(), self.written()))


def bare(bootstrap_servers: str, influx: InfluxServer, topic: str, count: int) -> dict[str, float]:
    """One round of the bare loop, in this process."""
    watch = Watch(influx)
    consumer = Consumer(consumer_config(bootstrap_servers, f"bench-{time.time_ns()}", "bench"))
    consumer.subscribe([topic])
    http = urllib3.PoolManager()
    headers = {"Authorization": f"Token {influx.token}", "Content-Encoding": "gzip"}
    url = f"{influx.url}/api/v2/write?org={influx.org}&bucket=ticks&precision=ns"
    read = 0
    cpu = time.thread_time()
    while read < count:
        batch = consumer.consume(_BATCH, timeout=0.2)
        if not batch:
            continue
        body = "\n".join(_line(orjson.loads(record.value() or b"")) for record in batch).encode()
        answer = http.request("POST", url, body=gzip.compress(body, 1), headers=headers)
        if answer.status != 204:
            raise SystemExit(f"InfluxDB answered {answer.status}: {answer.data[:200]!r}")
        read += len(batch)
    cpu = time.thread_time() - cpu
    consumer.close()
    pace = watch.wait_idle(count)
    return {"messages_per_s": pace.points / pace.seconds, "cpu_us": cpu / count * 1e6}


def _line(trade: dict[str, Any]) -> str:
    maker = "true" if trade["buyer_is_maker"] else "false"
    return (
        f"trade,exchange={trade['exchange']},symbol={trade['symbol']} trade_id={trade['trade_id']}i,"
        f"price={float(trade['price'])},quantity={float(trade['quantity'])},buyer_is_maker={maker} "
        f"{trade['trade_time_ms'] * 1_000_000 + trade['trade_id'] % 1_000_000}"
    )


def ours(bootstrap_servers: str, influx: InfluxServer, count: int) -> dict[str, float]:
    """One round of the real consumer process on `market.trades`."""
    watch = Watch(influx)
    process = start_consumer(bootstrap_servers, influx, ["--stream", "trades"])
    try:
        child = psutil.Process(process.pid)
        _until(lambda: watch.written() > 0)
        cpu = sum(child.cpu_times()[:2])
        pace = watch.wait_idle(count)
        used = sum(child.cpu_times()[:2]) - cpu
        resident = child.memory_info().rss / 2**20
    finally:
        process.terminate()
        process.wait(20)
    # The next round begins at the first trade again.
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 3})
    admin.delete_consumer_groups([_GROUP])[_GROUP].result(30)
    # Windows' summaries are points too; the pace is given in trades.
    return {"messages_per_s": count / pace.seconds, "cpu_us": used / count * 1e6, "resident_mb": resident}


def klines_resident_mb(bootstrap_servers: str, influx: InfluxServer, bars: int = 5_000) -> float:
    """Resident memory of a consumer of one interval: `bars` bars of four symbols, all indicators."""
    producer = Producer(producer_config(bootstrap_servers, "bench"))
    start_ms = (time.time_ns() // 1_000_000 // 60_000 - bars) * 60_000
    for number in range(bars):
        for symbol in ("BTCUSDC", "ETHUSDC", "XRPUSDC", "SOLUSDC"):
            price = 100.0 + number % 17
            bar = Bar(start_ms + number * 60_000, price, price + 2, price - 1, price + 1, 10.0)
            message = bar_message(symbol, bar.open_time_ms, bar)
            producer.produce(klines_topic("1m"), encode(message), f"binance:{symbol}".encode())
    producer.flush()
    watch = Watch(influx)
    process = start_consumer(bootstrap_servers, influx, ["--stream", "klines", "--intervals", "1m"])
    try:
        watch.wait_idle(2 * 4 * bars)  # a bar and its indicators are two points
        return psutil.Process(process.pid).memory_info().rss / 2**20
    finally:
        process.terminate()
        process.wait(20)


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


def start_consumer(
    bootstrap_servers: str,
    influx: InfluxServer,
    arguments: list[str],
    settings: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """The real consumer process."""
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "STORE": "influxdb",
        "INFLUX_URL": influx.url,
        "INFLUX_TOKEN": influx.token,
        "LOG_LEVEL": "WARNING",
        **(settings or {}),
    }
    return subprocess.Popen([sys.executable, "-m", "consumers", *arguments], env=environment)


def _until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + _DEADLINE_S
    while not condition():
        if time.monotonic() > give_up:
            raise SystemExit("the consumer did not begin to store in time")
        time.sleep(0.05)


def prepare(bootstrap_servers: str, count: int) -> str:
    """Fill `market.trades` for our rounds and a topic beside it for the bare ones; its name."""
    fill(bootstrap_servers, TRADES, count)
    topic = "bench.trades"
    create_topic(bootstrap_servers, topic)
    fill(bootstrap_servers, topic, count)
    return topic
