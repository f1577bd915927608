"""Cost of a long ledger history: `cryptostream ledger` and a start of the ledger's consumer.

`make bench ARGS="ledger --events 100000000"`. The history is generated: four symbols at four events a second
each, as producers and consumers write them, with holes. Its sets are entered by the minute, snapshots are
written as the ledger's consumer writes them, and the newest events are on `pipeline.ledger`.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from confluent_kafka import Producer

from bench import report
from bench.processes import page, peak_mb, running
from bench.topics import send
from consumers.ledger_book import LedgerBook
from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics
from shared.arguments import Parser, whole
from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS
from shared.kafka import producer_config
from shared.ledger import LedgerSeries, ledger_record
from shared.messages import LedgerMessage, encode, message_key
from shared.models import LedgerKind
from shared.partitioner import partition_of
from shared.topics import DEFAULT_PARTITIONS, LEDGER, LEDGER_SNAPSHOT

SYMBOLS: Final = ("BTCUSDC", "ETHUSDC", "XRPUSDC", "SOLUSDC")
INTERVALS: Final = ("1s", "1m", "15m", "1h", "1d")
EVENTS_A_SECOND: Final = 4 * len(SYMBOLS)
_TRADES_A_SECOND: Final = 10
_MINUTE_MS: Final = 60_000
_LARGE_HOLE: Final = 10_000_000
_METRICS_PORT: Final = 29_464
_READY_S: Final = 120.0


class History:
    """Events of a market that began some time ago and lasts until now.

    Args:
        holes: single missing trades of each symbol, besides a large hole.
    """

    def __init__(self, seconds: int, holes: int, seed: int) -> None:
        self.end_ms = time.time_ns() // 10**6 // _MINUTE_MS * _MINUTE_MS
        self.begin_ms = self.end_ms - seconds * 1000 // _MINUTE_MS * _MINUTE_MS
        self._chance = random.Random(seed)
        self._holes = holes

    def minutes(self) -> Iterator[LedgerMessage]:
        """The whole history, one range a minute and series."""
        trades = (self.end_ms - self.begin_ms) // 1000 * _TRADES_A_SECOND
        some = self._chance.sample(range(trades), min(self._holes, trades // 1_000))
        missing = sorted(_LARGE_HOLE + number for number in some)
        for symbol in SYMBOLS:
            yield event(symbol, "trades", "expected", (0, _LARGE_HOLE - 1), None)
            at = 0
            for begin_ms in range(self.begin_ms, self.end_ms, _MINUTE_MS):
                first = self._trade_id(begin_ms)
                last = self._trade_id(begin_ms + _MINUTE_MS) - 1
                yield event(symbol, "trades", "expected", (first, last), begin_ms)
                while at < len(missing) and missing[at] <= last:
                    if first < missing[at]:
                        yield event(symbol, "trades", "stored", (first, missing[at] - 1), None)
                    first, at = missing[at] + 1, at + 1
                if first <= last:
                    yield event(symbol, "trades", "stored", (first, last), None)
            for interval in INTERVALS:
                step_ms = INTERVAL_MS[interval]
                first, last = (
                    -(-self.begin_ms // step_ms) * step_ms,
                    self.end_ms // step_ms * step_ms - step_ms,
                )
                for kind in ("expected", "stored"):
                    yield event(symbol, interval, kind, (first, last), last)

    def seconds(self, count: int) -> Iterator[LedgerMessage]:
        """The newest events, second by second as on the topic."""
        for begin_ms in range(self.end_ms - count // EVENTS_A_SECOND * 1000, self.end_ms, 1000):
            for symbol in SYMBOLS:
                first, last = self._trade_id(begin_ms), self._trade_id(begin_ms + 1000) - 1
                for kind in ("expected", "stored"):
                    yield event(symbol, "trades", kind, (first, last), begin_ms)
                    yield event(symbol, "1s", kind, (begin_ms, begin_ms), begin_ms)

    def _trade_id(self, time_ms: int) -> int:
        return _LARGE_HOLE + (time_ms - self.begin_ms) // 1000 * _TRADES_A_SECOND


def event(
    symbol: str, series: str, kind: LedgerKind, ids: tuple[int, int], time_ms: int | None
) -> LedgerMessage:
    """An event about `series`, "trades" or an interval."""
    trades = LedgerSeries("binance", symbol, "trades", "")
    return ledger_record(
        trades if series == "trades" else LedgerSeries("binance", symbol, "klines", series),
        kind,
        *ids,
        event_time_ms=time_ms,
        received_time_ms=time.time_ns() // 10**6,
        source="stream",
    )


def fill(bootstrap_servers: str, history: History, kept: int, since: int) -> None:
    """Events and snapshots, as a deployment of that age has them.

    Args:
        kept: newest events that are in the snapshots and still on the topic.
        since: events after the snapshots.
    """
    producer = Producer(producer_config(bootstrap_servers, "bench"))
    offsets = [0] * DEFAULT_PARTITIONS
    book = LedgerBook()
    for message in history.minutes():
        book.receive(_partition(message), 0, message)
    for number, message in enumerate(history.seconds(kept + since)):
        if number == kept:
            _write_snapshots(producer, book)
        partition = _partition(message)
        send(producer, LEDGER, message_key("binance", message["symbol"]), encode(message), partition)
        if number < kept:
            book.receive(partition, offsets[partition], message)
        offsets[partition] += 1
    producer.flush()


def _write_snapshots(producer: Producer, book: LedgerBook) -> None:
    for partition, key, value in book.snapshots(lambda _series: IdRanges()):
        send(producer, LEDGER_SNAPSHOT, key, value, partition)


def _partition(message: LedgerMessage) -> int:
    return partition_of(message_key("binance", message["symbol"]), DEFAULT_PARTITIONS)


def main(arguments: list[str]) -> int:
    """Run it, print the table, write the JSON."""
    parser = Parser(prog="bench ledger", description=__doc__)
    parser.add_argument(
        "--events", type=whole, default=100_000_000, help="the history's (default 100,000,000)"
    )
    parser.add_argument(
        "--kept", type=whole, default=1_000_000, help="of them still on the topic (1,000,000)"
    )
    parser.add_argument("--since", type=whole, default=10_000, help="after the newest snapshots (10,000)")
    parser.add_argument("--holes", type=whole, default=2_000, help="missing trades of each symbol (2,000)")
    asked = parser.parse_args(arguments)
    history = History(asked.events // EVENTS_A_SECOND, asked.holes, seed=14)
    with (
        tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as directory,
        KafkaServer(Path(directory) / "kafka") as kafka,
    ):
        ensure_topics(kafka.bootstrap_servers, INTERVALS)
        fill(kafka.bootstrap_servers, history, asked.kept, asked.since)
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "SYMBOLS": ",".join(SYMBOLS),
            "INTERVALS": ",".join(INTERVALS),
            "STORE": "sqlite",
            "SQLITE_PATH": str(Path(directory) / "store.db"),
        }
        command_s, command_mb = _command(environment)
        ready_s, start_mb = _consumer(environment)
    result = {
        "events": asked.events,
        "kept": asked.kept,
        "since": asked.since,
        "ledger_s": command_s,
        "ledger_mb": command_mb,
        "consumer_ready_s": ready_s,
        "consumer_mb": start_mb,
    }
    sys.stdout.write(
        f"{asked.events:,} events of history, {asked.kept + asked.since:,} of them on the topic,"
        f" {asked.since:,} after the snapshots\n"
        f"cryptostream ledger: {command_s:.1f} s, {command_mb:.0f} MB\n"
        f"consumer-ledger: ready and caught up after {ready_s:.1f} s, {start_mb:.0f} MB at most\n"
    )
    report.write("ledger", result)
    return 0


def _command(environment: dict[str, str]) -> tuple[float, float]:
    """Seconds and MB of `cryptostream ledger`, which reports the holes and so ends with 1."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cryptostream.cli", "ledger"],
            env={**os.environ, **environment},
            stdout=output,
        )
        _, status, usage = os.wait4(process.pid, 0)
        output.seek(0)
        if os.waitstatus_to_exitcode(status) != 1 or b"NOT COMPLETE" not in output.read():
            raise RuntimeError(f"cryptostream ledger ended with {status}, though trades are missing")
    took_s = time.monotonic() - began
    sys.stdout.write(f"  of which at work: {usage.ru_utime + usage.ru_stime:.1f} s\n")
    return took_s, usage.ru_maxrss * 1024 / 1e6


def _consumer(environment: dict[str, str]) -> tuple[float, float]:
    """Seconds until the ledger's consumer is ready and has read everything, and its peak MB."""
    began = time.monotonic()
    command = [sys.executable, "-m", "consumers", "--stream", "ledger"]
    settings = {**environment, "METRICS_PORT": str(_METRICS_PORT)}
    with running(command, settings, stderr=subprocess.DEVNULL) as process:
        while not _caught_up():
            if process.poll() is not None or time.monotonic() - began > _READY_S:
                raise RuntimeError(f"consumer-ledger is not ready after {time.monotonic() - began:.0f} s")
            time.sleep(0.1)
        return time.monotonic() - began, peak_mb(process)


def _caught_up() -> bool:
    if page(_METRICS_PORT, "readyz") is None:
        return False
    metrics = page(_METRICS_PORT, "metrics") or ""

    def figure(name: str) -> float | None:
        found = re.search(rf"^{name}(?:{{.*}})? (\S+)$", metrics, re.MULTILINE)
        return float(found[1]) if found else None

    return (figure("cryptostream_messages") or 0) > 0 and figure("cryptostream_lag_messages") == 0
