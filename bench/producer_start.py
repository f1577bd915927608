"""What a long history and great holes cost a producer that starts: seconds until it is ready, and its memory.

`make bench ARGS=producer-start`: four symbols in one process, as `cryptostream run` has them; with
`--symbols BTCUSDC` one, as a container has it. The history of the ledger is made as in `bench.ledger`. Of
each symbol `market.trades` has a trade at the anchor that progress speaks of and many behind it, and progress
knows a hole of millions of trades and thousands of single ones. The exchange is the simulator, which has
issued all of them long ago. Bars have their newest one, and progress that speaks of it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from bench import report
from bench.ledger import EVENTS_A_SECOND, INTERVALS, SYMBOLS, History, fill, peak_mb, send
from cryptostream.engines.kafka import KafkaServer
from cryptostream.engines.server import free_port
from cryptostream.topics_admin import ensure_topics
from producers.bearings import OpenHole, klines_series, trades_series
from producers.progress import Progress, decode_progress, partition_of
from shared.arguments import Parser, whole
from shared.intervals import INTERVAL_MS
from shared.kafka import consumer_config, producer_config
from shared.messages import encode, message_key
from shared.topics import DEFAULT_PARTITIONS, LEDGER, PROGRESS, TRADES, klines_topic

_EXCHANGE: Final = "binance"
# After so long the quietest symbol, of 30 trades a minute, has 11 million of them.
_AGE_MS: Final = 260 * 86_400_000
_ON_ITS_WAY: Final = 200  # newest trades that no topic has: it was off for as long as they took
_READY_S: Final = 120.0
_FILLING_S: Final = 60.0
_SAID_S: Final = 120.0


class Place(NamedTuple):
    """Trade ids of one symbol: the topic has `anchor` to `last`, and below it `holes` are missing."""

    anchor: int
    last: int
    anchor_ms: int
    last_ms: int
    holes: tuple[OpenHole, ...]

    @property
    def missing(self) -> int:
        return sum(hole.last - hole.first + 1 for hole in self.holes)


def main(arguments: list[str]) -> int:
    """Run it, print the table, write the JSON."""
    parser = Parser(prog="bench producer-start", description=__doc__)
    add = parser.add_argument
    add("--events", type=whole, default=100_000_000, help="of the ledger's history (default 100,000,000)")
    add("--kept", type=whole, default=200_000, help="of them still on the topic (200,000)")
    add("--behind", type=whole, default=100_000, help="trades of a symbol behind its progress (100,000)")
    add("--hole", type=whole, default=10_000_000, help="neighbouring trades missing of a symbol (10,000,000)")
    add("--holes", type=whole, default=4_000, help="single trades missing of a symbol besides (4,000)")
    add("--noted", type=whole, default=200, help="records of progress of a symbol (200)")
    add("--symbols", default=",".join(SYMBOLS), help="of the process that starts (the four of the history)")
    asked = parser.parse_args(arguments)
    symbols = tuple(asked.symbols.split(","))
    if not set(symbols) <= set(SYMBOLS):
        parser.error(f"--symbols: {asked.symbols}: choose from {', '.join(SYMBOLS)}")
    with (
        tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as directory,
        KafkaServer(Path(directory) / "kafka") as kafka,
        _exchange() as (rest_url, ws_url),
    ):
        servers = kafka.bootstrap_servers
        ensure_topics(servers, INTERVALS)
        fill(servers, History(asked.events // EVENTS_A_SECOND, asked.holes, seed=14), asked.kept, 10_000)
        places = {symbol: _place_of(rest_url, symbol, asked) for symbol in symbols}
        _publish(servers, places, asked.noted)
        result = _measured(servers, {"BINANCE_REST_URL": rest_url, "BINANCE_WS_URL": ws_url}, places)
    sys.stdout.write(
        f"{asked.events:,} events of history; of each of {len(symbols)} symbols {asked.behind:,} trades"
        f" behind progress, of which {asked.noted:,} records lie, a hole of {asked.hole:,} trades and"
        f" {asked.holes:,} of one\n"
        f"producer: ready after {result['ready_s']:.1f} s, {result['work_s']:.1f} s of it at work,"
        f" {result['ready_mb']:.0f} MB at most\n"
        f"{_FILLING_S:.0f} s on: {result['filling_mb']:.0f} MB at most, {result['filled']:,} filled,"
        f" {result['missing']:,} known to be missing\n"
    )
    report.write("producer_start", {**vars(asked), **result})
    return 0


@contextmanager
def _exchange() -> Iterator[tuple[str, str]]:
    """A simulator whose market is old enough; its URLs."""
    start_ms = time.time_ns() // 10**6 - _AGE_MS
    options = ("--symbols", ",".join(SYMBOLS), "--start", str(start_ms), "--resume")
    process = subprocess.Popen(
        [sys.executable, "-m", "cryptostream.cli", "simulate", *options], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        said: dict[str, Any] = orjson.loads(process.stdout.readline())
        yield said["rest_url"], said["ws_url"]
    finally:
        process.kill()  # it keeps nothing


def _place_of(rest_url: str, symbol: str, asked: argparse.Namespace) -> Place:
    newest = _trade(rest_url, f"trades?symbol={symbol}&limit=1")
    last = newest["id"] - _ON_ITS_WAY
    anchor = last - asked.behind
    end = anchor - 2 * asked.holes - 2
    bounds = (end - asked.hole, end + 1, anchor, last)
    times = [_trade(rest_url, f"historicalTrades?symbol={symbol}&fromId={at}&limit=1") for at in bounds]
    if [row["id"] for row in times] != list(bounds):
        raise RuntimeError(f"{symbol}: the simulator's market is too young for such a hole")
    before_ms, after_ms, anchor_ms, last_ms = (row["time"] for row in times)
    great = OpenHole(end - asked.hole + 1, end, before_ms, after_ms, asked=1, since_ms=last_ms)
    single = (
        OpenHole(at, at, after_ms, anchor_ms, asked=1, since_ms=last_ms) for at in range(end + 2, anchor, 2)
    )
    return Place(anchor, last, anchor_ms, last_ms, (great, *single))


def _trade(rest_url: str, question: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{rest_url}/api/v3/{question}", timeout=60) as answer:
        rows: list[dict[str, Any]] = orjson.loads(answer.read())
    return rows[0]


def _publish(bootstrap_servers: str, places: dict[str, Place], noted: int) -> None:
    """The trades from the anchor on, and progress that speaks of it, as often as a segment keeps it."""
    producer = Producer(producer_config(bootstrap_servers, "bench"))
    offsets: Counter[int] = Counter()
    bars: Counter[int] = Counter()
    now_ms = time.time_ns() // 10**6
    for symbol, place in places.items():
        key = message_key(_EXCHANGE, symbol)
        partition = partition_of(key, DEFAULT_PARTITIONS)
        record = Progress(
            place.anchor, TRADES, partition, offsets[partition], place.anchor_ms, now_ms, missing=place.holes
        )
        for trade_id in range(place.anchor, place.last + 1):
            send(producer, TRADES, key, encode(_message(symbol, trade_id, place)), partition)
            offsets[partition] += 1
        series = trades_series(_EXCHANGE, symbol).encode()
        for age in range(noted - 1, -1, -1):
            older = replace(record, updated_ms=now_ms - age * 10 * len(place.holes))
            send(producer, PROGRESS, series, older.encode(), partition_of(series, DEFAULT_PARTITIONS))
        for interval in INTERVALS:
            _publish_bar(producer, symbol, interval, place.last_ms, bars[partition])
        bars[partition] += 1
    producer.flush()


def _publish_bar(producer: Producer, symbol: str, interval: str, time_ms: int, offset: int) -> None:
    """The bar that was the newest closed one at this time, and its progress."""
    key, topic, step_ms = message_key(_EXCHANGE, symbol), klines_topic(interval), INTERVAL_MS[interval]
    open_ms = time_ms // step_ms * step_ms - step_ms
    bar: Any = {
        "schema": 1,
        "exchange": _EXCHANGE,
        "symbol": symbol,
        "event_time_ms": open_ms + step_ms,
        "received_time_ms": open_ms + step_ms,
        "source": "stream",
        "interval": interval,
        "open_time_ms": open_ms,
        "close_time_ms": open_ms + step_ms - 1,
        **dict.fromkeys(("open", "high", "low", "close"), "100.00"),
        "base_volume": "0.00000",
        "quote_volume": "0.00",
        "trade_count": 0,
        "taker_buy_base_volume": "0.00000",
        "taker_buy_quote_volume": "0.00",
        "first_trade_id": None,
        "last_trade_id": None,
        "closed": True,
    }
    partition = partition_of(key, DEFAULT_PARTITIONS)
    send(producer, topic, key, encode(bar), partition)
    series = klines_series(_EXCHANGE, symbol, interval).encode()
    progress = Progress(open_ms, topic, partition, offset, open_ms, time_ms)
    send(producer, PROGRESS, series, progress.encode(), partition_of(series, DEFAULT_PARTITIONS))


def _message(symbol: str, trade_id: int, place: Place) -> Any:
    share = (trade_id - place.anchor) / (place.last - place.anchor)
    time_ms = place.anchor_ms + round(share * (place.last_ms - place.anchor_ms))
    return {
        "schema": 1,
        "exchange": _EXCHANGE,
        "symbol": symbol,
        "event_time_ms": time_ms,
        "received_time_ms": time_ms,
        "source": "stream",
        "trade_id": trade_id,
        "price": "100.00",
        "quantity": "0.01000",
        "trade_time_ms": time_ms,
        "buyer_is_maker": False,
    }


def _measured(servers: str, exchange: dict[str, str], places: dict[str, Place]) -> dict[str, Any]:
    """The start of a producer, and its first minute."""
    port = free_port()
    environment = {
        **os.environ,
        **exchange,
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "SYMBOLS": ",".join(places),
        "INTERVALS": ",".join(INTERVALS),
        "METRICS_PORT": str(port),
        "LOG_LEVEL": "WARNING",
    }
    before = _ends(servers, (LEDGER, PROGRESS, TRADES))
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "producers"], env=environment)
    try:
        while _asked(port, "readyz") is None:
            if process.poll() is not None or time.monotonic() - began > _READY_S:
                raise RuntimeError(f"the producer is not ready after {time.monotonic() - began:.0f} s")
            time.sleep(0.1)  # between two looks
        ready_s, ready_mb = time.monotonic() - began, _peak_mb(process.pid)
        work_s = sum(psutil.Process(process.pid).cpu_times()[:2])
        time.sleep(_FILLING_S)
        filling_mb = _peak_mb(process.pid)
        taken_up = _taken_up(servers, before, places)
    finally:
        process.terminate()
        process.wait(15)
    return {"ready_s": ready_s, "work_s": work_s, "ready_mb": ready_mb, "filling_mb": filling_mb, **taken_up}


def _taken_up(servers: str, before: list[TopicPartition], places: dict[str, Place]) -> dict[str, int]:
    """See that the new process has said of every missing trade that it is, and fills or still knows it."""
    expected: Counter[str] = Counter()
    filled: Counter[str] = Counter()
    noted: dict[str, Progress] = {}
    for topic, key, value in _since(servers, before):
        if topic == PROGRESS and (progress := decode_progress(value)).missing:
            noted[key] = progress
        elif topic == LEDGER and b"missing since an earlier start" in value:
            expected[key] += orjson.loads(value)["count"]
        elif topic == TRADES and (trade := orjson.loads(value))["source"] == "backfill":
            filled[key] += trade["trade_id"] < places[trade["symbol"]].anchor
    for symbol, place in places.items():
        key, series = f"{_EXCHANGE}:{symbol}", trades_series(_EXCHANGE, symbol)
        if expected[key] != place.missing or series not in noted:
            raise RuntimeError(f"{symbol}: {expected[key]:,} of {place.missing:,} missing were taken up")
        left = sum(hole.last - hole.first + 1 for hole in noted[series].missing if hole.last < place.anchor)
        if not place.missing - filled[key] <= left <= place.missing:
            raise RuntimeError(f"{symbol}: {left:,} are missing, {filled[key]:,} filled of {place.missing:,}")
    known = sum(hole.last - hole.first + 1 for progress in noted.values() for hole in progress.missing)
    return {"filled": sum(filled.values()), "missing": known}


def _ends(servers: str, topics: tuple[str, ...]) -> list[TopicPartition]:
    consumer = Consumer(consumer_config(servers, "bench", "bench"))
    try:
        places = [TopicPartition(topic, at) for topic in topics for at in range(DEFAULT_PARTITIONS)]
        return [
            TopicPartition(place.topic, place.partition, consumer.get_watermark_offsets(place, timeout=10)[1])
            for place in places
        ]
    finally:
        consumer.close()


def _since(servers: str, before: list[TopicPartition]) -> Iterator[tuple[str, str, bytes]]:
    """Records from these places to the ends of now: topic, key, value."""
    ends = _ends(servers, (LEDGER, PROGRESS, TRADES))
    unread = {(end.topic, end.partition): end.offset for end in ends}
    for start in before:
        if unread[start.topic, start.partition] == start.offset:
            del unread[start.topic, start.partition]
    consumer = Consumer(consumer_config(servers, "bench", "bench"))
    consumer.assign(before)
    deadline = time.monotonic() + _SAID_S
    try:
        while unread and time.monotonic() < deadline:
            for message in consumer.consume(1_000, 0.2):
                if message.error() is not None:
                    continue
                at = message.topic() or "", message.partition() or 0
                yield at[0], (message.key() or b"").decode(), message.value() or b""
                if (message.offset() or 0) >= unread.get(at, 0) - 1:
                    unread.pop(at, None)
    finally:
        consumer.close()
    if unread:
        raise RuntimeError(f"Kafka does not give its records of {sorted(unread)} within {_SAID_S:.0f} s")


def _asked(port: int, path: str) -> str | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=1) as answer:
            text: str = answer.read().decode()
            return text
    except (urllib.error.URLError, OSError):
        return None


def _peak_mb(pid: int) -> float:
    return peak_mb(Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
