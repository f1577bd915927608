"""Cost of a long history and large holes at a producer's start: seconds until it is ready, and its memory.

`make bench ARGS=producer-start`: four symbols in one process, as in `cryptostream run`; with
`--symbols BTCUSDC` one, as in a container. The ledger's history is generated as in `bench.ledger`. For each
symbol `market.trades` has the trade that progress names as anchor and many after it, and progress has a hole
of millions of trades and thousands of single ones, which the simulated exchange has issued. Each interval has
its newest bar and its progress.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from confluent_kafka import Producer

from bench import report
from bench.ledger import EVENTS_A_SECOND, INTERVALS, SYMBOLS, History, fill
from bench.processes import cpu_s, page, peak_mb, running
from bench.topics import send
from cryptostream.engines.kafka import KafkaServer
from cryptostream.processes.server import free_port
from cryptostream.topics_admin import ensure_topics
from producers.progress import Progress, decode_progress
from producers.start_positions import OpenHole, klines_series, trades_series
from shared.arguments import Parser, whole
from shared.intervals import INTERVAL_MS
from shared.kafka import producer_config
from shared.kafka_reader import PartitionId, TopicReader
from shared.messages import encode, message_key
from shared.partitioner import partition_of
from shared.topics import DEFAULT_PARTITIONS, LEDGER, PROGRESS, TRADES, klines_topic

_EXCHANGE: Final = "binance"
# In that time the quietest symbol, of 30 trades a minute, has 11 million.
_AGE_MS: Final = 260 * 86_400_000
_ON_ITS_WAY: Final = 200  # newest trades that no topic has: the producer was stopped
_READY_S: Final = 120.0
_FILLING_S: Final = 60.0


class TradeSpan(NamedTuple):
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
        spans = {symbol: _span_of(rest_url, symbol, asked) for symbol in symbols}
        _publish(servers, spans, asked.noted)
        result = _measured(servers, {"BINANCE_REST_URL": rest_url, "BINANCE_WS_URL": ws_url}, spans)
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
        ready: dict[str, Any] = orjson.loads(process.stdout.readline())
        yield ready["rest_url"], ready["ws_url"]
    finally:
        process.kill()  # it keeps nothing


def _span_of(rest_url: str, symbol: str, asked: argparse.Namespace) -> TradeSpan:
    newest = _trade(rest_url, f"trades?symbol={symbol}&limit=1")
    last = newest["id"] - _ON_ITS_WAY
    anchor = last - asked.behind
    end = anchor - 2 * asked.holes - 2
    bounds = (end - asked.hole, end + 1, anchor, last)
    times = [_trade(rest_url, f"historicalTrades?symbol={symbol}&fromId={at}&limit=1") for at in bounds]
    if [row["id"] for row in times] != list(bounds):
        raise RuntimeError(f"{symbol}: the simulator's market is too young for such a hole")
    before_ms, after_ms, anchor_ms, last_ms = (row["time"] for row in times)
    large = OpenHole(end - asked.hole + 1, end, before_ms, after_ms, asked=1, since_ms=last_ms)
    single = (
        OpenHole(at, at, after_ms, anchor_ms, asked=1, since_ms=last_ms) for at in range(end + 2, anchor, 2)
    )
    return TradeSpan(anchor, last, anchor_ms, last_ms, (large, *single))


def _trade(rest_url: str, question: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{rest_url}/api/v3/{question}", timeout=60) as answer:
        rows: list[dict[str, Any]] = orjson.loads(answer.read())
    return rows[0]


def _publish(bootstrap_servers: str, spans: dict[str, TradeSpan], noted: int) -> None:
    """The trades from the anchor on, and `noted` records of progress, as in an uncompacted segment."""
    producer = Producer(producer_config(bootstrap_servers, "bench"))
    offsets: Counter[int] = Counter()
    bars: Counter[int] = Counter()
    now_ms = time.time_ns() // 10**6
    for symbol, span in spans.items():
        key = message_key(_EXCHANGE, symbol)
        partition = partition_of(key, DEFAULT_PARTITIONS)
        record = Progress(
            span.anchor, TRADES, partition, offsets[partition], span.anchor_ms, now_ms, missing=span.holes
        )
        for trade_id in range(span.anchor, span.last + 1):
            send(producer, TRADES, key, encode(_message(symbol, trade_id, span)), partition)
            offsets[partition] += 1
        series = trades_series(_EXCHANGE, symbol).encode()
        for age in range(noted - 1, -1, -1):
            older = replace(record, updated_ms=now_ms - age * 10 * len(span.holes))
            send(producer, PROGRESS, series, older.encode(), partition_of(series, DEFAULT_PARTITIONS))
        for interval in INTERVALS:
            _publish_bar(producer, symbol, interval, span.last_ms, bars[partition])
        bars[partition] += 1
    producer.flush()


def _publish_bar(producer: Producer, symbol: str, interval: str, time_ms: int, offset: int) -> None:
    """The newest closed bar at this time, and its progress."""
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


def _message(symbol: str, trade_id: int, span: TradeSpan) -> Any:
    share = (trade_id - span.anchor) / (span.last - span.anchor)
    time_ms = span.anchor_ms + round(share * (span.last_ms - span.anchor_ms))
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


def _measured(servers: str, exchange: dict[str, str], spans: dict[str, TradeSpan]) -> dict[str, Any]:
    """The start of a producer, and its first minute."""
    port = free_port()
    environment = {
        **exchange,
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "SYMBOLS": ",".join(spans),
        "INTERVALS": ",".join(INTERVALS),
        "METRICS_PORT": str(port),
        "LOG_LEVEL": "WARNING",
    }
    with closing(TopicReader(servers)) as reader:
        before = {
            partition: end
            for topic in (LEDGER, PROGRESS, TRADES)
            for partition, (_, end) in reader.bounds(topic).items()
        }
    began = time.monotonic()
    with running([sys.executable, "-m", "producers"], environment) as process:
        while page(port, "readyz") is None:
            if process.poll() is not None or time.monotonic() - began > _READY_S:
                raise RuntimeError(f"the producer is not ready after {time.monotonic() - began:.0f} s")
            time.sleep(0.1)
        ready_s, ready_mb = time.monotonic() - began, peak_mb(process)
        work_s = cpu_s(process)
        time.sleep(_FILLING_S)
        filling_mb = peak_mb(process)
        taken_up = _taken_up(servers, before, spans)
    return {"ready_s": ready_s, "work_s": work_s, "ready_mb": ready_mb, "filling_mb": filling_mb, **taken_up}


def _taken_up(servers: str, before: dict[PartitionId, int], spans: dict[str, TradeSpan]) -> dict[str, int]:
    """Check that the new process reports every missing trade, and fills or still knows it."""
    expected: Counter[str] = Counter()
    filled: Counter[str] = Counter()
    noted: dict[str, Progress] = {}
    with closing(TopicReader(servers)) as reader:
        for record in reader.to_end(before):
            topic, key, value = record.topic(), (record.key() or b"").decode(), record.value() or b""
            if topic == PROGRESS and (progress := decode_progress(value)).missing:
                noted[key] = progress
            elif topic == LEDGER and b"missing since an earlier start" in value:
                expected[key] += orjson.loads(value)["count"]
            elif topic == TRADES and (trade := orjson.loads(value))["source"] == "backfill":
                filled[key] += trade["trade_id"] < spans[trade["symbol"]].anchor
    for symbol, span in spans.items():
        key, series = f"{_EXCHANGE}:{symbol}", trades_series(_EXCHANGE, symbol)
        if expected[key] != span.missing or series not in noted:
            raise RuntimeError(f"{symbol}: {expected[key]:,} of {span.missing:,} missing were taken up")
        left = sum(hole.last - hole.first + 1 for hole in noted[series].missing if hole.last < span.anchor)
        if not span.missing - filled[key] <= left <= span.missing:
            raise RuntimeError(f"{symbol}: {left:,} are missing, {filled[key]:,} filled of {span.missing:,}")
    known = sum(hole.last - hole.first + 1 for progress in noted.values() for hole in progress.missing)
    return {"filled": sum(filled.values()), "missing": known}
