"""Consumer path: Kafka → points → InfluxDB acknowledged, by processes that read the same records.

Each side is a process of its own, and what counts is the CPU time of the whole process: librdkafka's threads
and those of requests take part on all sides. Rates are by InfluxDB's own count of written points, from the
first points to the last; CPU time is that of all records, without start-up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from influxdb_client.client.influxdb_client import InfluxDBClient

from bench.peers import telegraf
from bench.processes import cpu_s, resident_bytes, running, runs
from bench.rounds import Round
from bench.store import settings_of
from bench.topics import send
from bench.watch import Watch, consumer_process
from consumers.stores.factory import open_reader
from cryptostream.engines.influxdb import InfluxServer
from cryptostream.topics_admin import ensure_topics
from shared.kafka import producer_config
from shared.messages import encode
from shared.topics import TRADES, indicator_state_topic, klines_topic

_DEADLINE_S: Final = 60.0
# A process waits if none of its threads was seen at work in so many looks, after it has begun at all.
_WAITING: Final = 15
_LOOK_S: Final = 0.02
_STARTED_CPU_S: Final = 0.01  # one tick
# Thirty trades a second, a busy pair's pace; recent, so that no bucket refuses them.
SPACING_MS: Final = 33
_SYMBOL: Final = "BTCUSDT"


@dataclass(frozen=True, slots=True)
class Stream:
    """The path of one stream.

    Attributes:
        title: of the records.
        name: as `bench.bare_consumer` takes it.
        bucket: of its points.
        points: least number of points a record.
        state_topic: of our consumer, if it keeps state.
    """

    title: str
    name: str
    topic: str
    bucket: str
    group: str
    arguments: tuple[str, ...]
    points: int
    state_topic: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Broker and store of a comparison.

    Attributes:
        encoding: of the requests of all sides, gzip or identity.
    """

    bootstrap_servers: str
    broker_pid: int
    influx: InfluxServer
    encoding: str


TRADE_STREAM: Final = Stream(
    "trades", "trades", TRADES, "ticks", "cryptostream.trades", ("--stream", "trades"), 1
)
KLINE_STREAM: Final = Stream(
    "bars with all indicators",
    "klines",
    klines_topic("1m"),
    "market",
    "cryptostream.klines.1m",
    ("--stream", "klines", "--intervals", "1m"),
    2,
    indicator_state_topic("1m"),
)


def fill_trades(bootstrap_servers: str, topic: str, count: int) -> int:
    """Put `count` trades of one symbol on a topic; time of the first."""
    producer = Producer(producer_config(bootstrap_servers, "bench"))
    first_ms = time.time_ns() // 1_000_000 - count * SPACING_MS
    for number in range(count):
        time_ms = first_ms + number * SPACING_MS
        value = encode(
            {
                "schema": 1,
                "exchange": "binance",
                "symbol": _SYMBOL,
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
        send(producer, topic, f"binance:{_SYMBOL}".encode(), value)
    producer.flush()
    return first_ms


def bare(place: Place, stream: Stream, count: int) -> Round:
    """One round of the bare loop."""
    influx = place.influx
    command = [sys.executable, "-m", "bench.bare_consumer", stream.name, place.bootstrap_servers]
    command += [stream.topic, influx.url, stream.bucket, place.encoding]
    watch = Watch(influx)
    with broker_held(place) as let_go, running(command, {"INFLUX_TOKEN": influx.token}) as process:
        return stored(process, watch, count, stream.points, let_go)


def ours(
    place: Place,
    stream: Stream,
    count: int,
    settings: Mapping[str, str] | None = None,
    code: Path | None = None,
) -> Round:
    """One round of the real consumer process.

    Args:
        code: directory of another state of the code; None for this one.
    """
    watch = Watch(place.influx)
    servers = place.bootstrap_servers
    with (
        broker_held(place) as let_go,
        consumer_process(servers, place.influx, stream.arguments, settings, code) as process,
    ):
        figures = stored(process, watch, count, stream.points, let_go)
    _forget(servers, stream)
    return figures


def by_telegraf(place: Place, program: Path, count: int, directory: Path) -> Round:
    """One round of Telegraf on the trades."""
    servers, group = place.bootstrap_servers, f"bench-telegraf-{time.time_ns()}"
    settings = directory / "telegraf.conf"
    written = telegraf.config(servers, TRADES, group, place.influx, place.encoding)
    settings.write_text(written, encoding="utf-8")
    watch = Watch(place.influx)
    command = [str(program), "--config", str(settings)]
    token = {"INFLUX_TOKEN": place.influx.token}
    with (
        broker_held(place) as let_go,
        running(command, token, stderr=subprocess.DEVNULL) as process,
    ):
        return stored(process, watch, count, TRADE_STREAM.points, let_go)


@contextmanager
def broker_held(place: Place) -> Iterator[Callable[[], None]]:
    """The broker answers nobody until the function is called: what starts meanwhile comes up and waits."""
    os.kill(place.broker_pid, signal.SIGSTOP)

    def let_go() -> None:
        os.kill(place.broker_pid, signal.SIGCONT)

    try:
        yield let_go
    finally:
        let_go()


def started(process: subprocess.Popen[bytes]) -> float:
    """CPU time of a process that has come up: it waits for its broker."""
    give_up = time.monotonic() + _DEADLINE_S
    waiting = 0
    while (used := cpu_s(process)) < _STARTED_CPU_S or waiting < _WAITING:
        if process.poll() is not None:
            raise SystemExit(f"the consumer has ended with {process.returncode} at its start")
        if time.monotonic() > give_up:
            raise SystemExit("the consumer did not come up in time")
        # CPU time does not tell: on a busy machine a process with work to do may not get any.
        waiting = 0 if runs(process) else waiting + 1
        time.sleep(_LOOK_S)
    return used


def stored(
    process: subprocess.Popen[bytes], watch: Watch, count: int, points: int, let_go: Callable[[], None]
) -> Round:
    """What a process takes until `count` records are stored.

    Counted from the first points on, the work on them and on what was read ahead would be left out: a
    twentieth for who stores much at a time. So all is counted that follows the start.

    Args:
        points: least number of points a record.
        let_go: of `broker_held`, in which the process was started.
    """
    try:
        before = started(process)
    finally:
        let_go()  # also for an end, which a process may wait with for its broker
    until(lambda: watch.written() > watch.first, "the consumer did not begin to store in time")
    pace = watch.wait_idle(points * count)
    used = cpu_s(process) - before
    # Window summaries are points too; the rate is in records.
    return {
        "messages_per_s": count * pace.share / pace.seconds,
        "cpu_us": used / count * 1e6,
        "resident_mb": resident_bytes(process) / 2**20,
    }


def _forget(bootstrap_servers: str, stream: Stream) -> None:
    """Delete offsets and state, so that the next round begins at the first record."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 3})
    admin.delete_consumer_groups([stream.group])[stream.group].result(30)
    if stream.state_topic is not None:
        # Records of a compacted topic cannot be deleted, so the topic is recreated.
        admin.delete_topics([stream.state_topic])[stream.state_topic].result(30)
        until(
            lambda: stream.state_topic not in admin.list_topics(timeout=10).topics, "the topic is still there"
        )
        ensure_topics(bootstrap_servers, ("1m",))


def until(condition: Callable[[], bool], otherwise: str) -> None:
    """Wait for a condition; a benchmark that does not come to its end is no result."""
    give_up = time.monotonic() + _DEADLINE_S
    while not condition():
        if time.monotonic() > give_up:
            raise SystemExit(otherwise)
        time.sleep(0.05)


def trades_that_differ(influx: InfluxServer, since_ms: int) -> tuple[int, int]:
    """Trades compared by their ids with those of Telegraf, and how many differ or are on one side only."""
    columns = ("price", "quantity", "buyer_is_maker")
    with closing(open_reader(settings_of(influx))) as reader:
        rows = reader.read("trade", {"exchange": "binance", "symbol": _SYMBOL}, from_ns=since_ms * 1_000_000)
        mine = {row["trade_id"]: tuple(row[column] for column in columns) for row in rows}
    theirs = {
        row["trade_id"]: tuple(row[column] for column in columns)
        for time_ns, row in rows_of(influx, "ticks", telegraf.MEASUREMENT, _SYMBOL, since_ms)
        if time_ns >= since_ms * 1_000_000
    }
    both = mine.keys() | theirs.keys()
    return len(both), sum(mine.get(each) != theirs.get(each) for each in both)


def rows_of(
    influx: InfluxServer, bucket: str, measurement: str, symbol: str, since_ms: int
) -> list[tuple[int, dict[str, Any]]]:
    """Times in ns and columns of a measurement that is not ours, from a second before on."""
    client: Any = InfluxDBClient(influx.url, influx.token, org=influx.org, timeout=120_000)
    query = f"""
        from(bucket: "{bucket}") |> range(start: {since_ms // 1000 - 1})
          |> filter(fn: (r) => r._measurement == "{measurement}" and r.symbol == "{symbol}")
          |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    """
    found = []
    for record in client.query_api().query_stream(query):
        values = {name: value for name, value in record.values.items() if value is not None}
        found.append((round(record.get_time().timestamp() * 1_000) * 1_000_000, values))
    client.close()
    return found
