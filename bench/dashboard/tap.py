"""From a record on Kafka to `Hub.publish`: the rate beside a bare poll-and-decode loop, and the delay.

The bare loop polls and drains as the tap does and decodes by orjson. Ours is the tap's own follower on the
same records, with the open bar, the hub, its ring and one viewer who takes no frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import orjson
from confluent_kafka import Consumer, TopicPartition

from api.client import Client
from api.hub import Hub
from api.inbox import Overrun
from api.limits import Limits
from api.live import Live
from bench.consumer_path import fill_trades
from consumers.indicators.registry import columns_of
from consumers.tap.fill import FilledSeries, Filling
from consumers.tap.follower import Follower, Surroundings
from consumers.tap.kafka import Incarnations, tap_config
from consumers.tap.keyed import KeyedWork
from consumers.tap.open_bars import OpenBars
from consumers.tap.port import Arrived, Event, OnEvents, Taps
from consumers.tap.reading import PartitionReader
from consumers.tap.records import BadRecords
from consumers.tap.series import LiveSeries, live_kinds
from consumers.tap.taps import open_taps
from consumers.tap.trades import TradeTap
from shared.kafka_reader import PartitionId
from shared.partitioner import partition_of
from shared.settings import load_settings
from shared.topics import TRADES

Round = dict[str, float]

TAGS: Final = ("binance", "BTCUSDT")
_KEY: Final = b"binance:BTCUSDT"
_TRADE: Final = LiveSeries("trade", TAGS)
_BATCH: Final = 2_000
_DEADLINE_S: Final = 120.0


def prepare(bootstrap_servers: str, count: int) -> None:
    """Trades of one instrument, read by both sides."""
    fill_trades(bootstrap_servers, TRADES, count)


def bare(bootstrap_servers: str, count: int) -> Round:
    """Poll one, drain, decode."""
    consumer = Consumer(tap_config(bootstrap_servers, f"bare-{time.time_ns()}", memory_broker=False))
    partitions = consumer.list_topics(TRADES, timeout=10).topics[TRADES].partitions
    consumer.assign([TopicPartition(TRADES, number, 0) for number in partitions])
    read, began_s, began_cpu_s = 0, 0.0, 0.0
    while read < count:
        first = consumer.poll(0.1)
        if first is None:
            continue
        if not read:
            began_s, began_cpu_s = time.perf_counter(), time.process_time()
        messages = [first, *consumer.consume(_BATCH, 0.0)]
        for message in messages:
            if message.error() is None:
                orjson.loads(message.value() or b"")
        read += len(messages)
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    consumer.close()
    return {"records_per_s": read / took_s, "cpu_us": cpu_s / read * 1e6}


def ours(bootstrap_servers: str, count: int) -> Round:
    """The tap and the hub, from the topic's first record on."""
    return asyncio.run(_ours(bootstrap_servers, count))


class _Counting(Hub):
    """Notes how far the trades have come."""

    def watch(self, count: int) -> asyncio.Event:
        self.count = count
        self.first_s = self.last_s = self.first_cpu_s = self.last_cpu_s = 0.0
        self.first_end = self.end = self.dropped = 0
        self.done = asyncio.Event()
        return self.done

    def publish(self, events: Iterable[Event | Overrun], now_ms: int) -> None:
        super().publish(events, now_ms)
        ends = [event.end for event in events if isinstance(event, Arrived) and event.series == _TRADE]
        self.dropped += sum(event.dropped for event in events if isinstance(event, Overrun))
        if not ends:
            return
        self.end, self.last_s, self.last_cpu_s = max(ends), time.perf_counter(), time.process_time()
        if not self.first_end:
            self.first_end, self.first_s, self.first_cpu_s = self.end, self.last_s, self.last_cpu_s
        if self.end >= self.count:
            self.done.set()


async def _ours(bootstrap_servers: str, count: int) -> Round:
    kinds = live_kinds(())
    live = Live(lambda on_events: _FromTheFirst(bootstrap_servers, on_events), kinds, Limits())
    hub = live.hub = _Counting(kinds, Limits())
    done = hub.watch(count)
    task = asyncio.create_task(live.run())
    try:
        await asyncio.sleep(0)
        _view(live, "trade")
        await asyncio.wait_for(done.wait(), _DEADLINE_S)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    # What a loop that is behind drops has cost it nothing.
    read = hub.end - hub.first_end - hub.dropped
    return {
        "dropped": hub.dropped,
        "records_per_s": read / (hub.last_s - hub.first_s),
        "cpu_us": (hub.last_cpu_s - hub.first_cpu_s) / read * 1e6,
    }


def _view(live: Live, name: str, **more: Any) -> Client:
    joined = live.join()
    assert joined is not None
    wish = {"id": 1, "series": name, "exchange": TAGS[0], "symbol": TAGS[1], **more}
    live.receive(joined[0], orjson.dumps({"subscribe": [wish]}))
    return joined[0]


class _FirstRecords(KeyedWork):
    """Follows from the first records on, not from the ends."""

    def begin(self, consumer: Consumer, incarnations: Incarnations) -> Mapping[PartitionId, int]:
        return dict.fromkeys(super().begin(consumer, incarnations), 0)


class _FromTheFirst:
    """`Taps` of the trades alone."""

    def __init__(self, bootstrap_servers: str, on_events: OnEvents) -> None:
        self._stopped = threading.Event()
        self._open_bars = OpenBars(on_events)
        self._work = _FirstRecords(
            (TRADES,), ("trade",), _empty(self._open_bars), _at_once, lambda _key: None, memory_broker=False
        )
        around = Surroundings(bootstrap_servers, False, on_events, _raise, lambda: None, self._stopped)
        self._follower = Follower(f"bench-{time.time_ns()}", self._work, around)

    def start(self) -> None:
        """Nothing before the series is asked for, so that no record is passed over."""

    def activate(self, series: LiveSeries) -> None:  # noqa: ARG002
        self._work.activate(_KEY)
        self._follower.start()

    def fetch(self, request: int, series: LiveSeries, offset: int) -> None:
        """Not asked for."""

    def drop(self, exchange: str, symbol: str) -> None:
        """As above."""

    @property
    def bad_records(self) -> int:
        return 0

    def close(self) -> None:
        self._stopped.set()
        self._follower.join()


def _empty(open_bars: OpenBars) -> Callable[[PartitionReader, bytes], Filling]:
    """A fill without rows: all records follow."""

    def fill(_reader: PartitionReader, _key: bytes) -> Filling:
        tap = TradeTap(TAGS, whole=True, bad=BadRecords(), on_trades=lambda told: open_bars.trade(TAGS, told))
        return Filling(tap, (FilledSeries(_TRADE, (TRADES, partition_of(_KEY, 1)), (), 0, 0),))

    return fill


def _at_once(
    _key: bytes, _incarnations: Incarnations, job: Callable[[Any], None], _is_wanted: Callable[[], bool]
) -> bool:
    job(None)
    return True


def _raise(error: BaseException) -> None:
    raise error


class _Noting(Hub):
    """Notes when each trade was published."""

    def __init__(self, kinds: Mapping[str, Any], limits: Limits) -> None:
        super().__init__(kinds, limits)
        self.published_s: dict[Any, float] = {}

    def publish(self, events: Iterable[Event | Overrun], now_ms: int) -> None:
        super().publish(events, now_ms)
        now_s = time.time()
        for event in events:
            if isinstance(event, Arrived) and event.series == _TRADE:
                self.published_s.update((row.values[0], now_s) for row in event.rows)


def delay_ms(bootstrap_servers: str, rate: float, seconds: float) -> dict[str, float]:
    """Producer's acknowledgement → published, at a steady rate; the producer is another process."""
    return asyncio.run(_delay_ms(bootstrap_servers, rate, seconds))


async def _delay_ms(bootstrap_servers: str, rate: float, seconds: float) -> dict[str, float]:
    settings = load_settings(
        kafka_bootstrap_servers=bootstrap_servers, symbols=TAGS[1], intervals="1m", store="influxdb"
    )
    kinds = live_kinds(tuple(column.name for column in columns_of(settings.indicators)))

    def taps(on_events: OnEvents) -> Taps:
        return open_taps(
            settings,
            memory_broker=False,
            open_reader=None,
            rebuild_from_store=False,
            on_events=on_events,
            on_failure=_raise,
        )

    live = Live(taps, kinds, Limits())
    hub = live.hub = _Noting(kinds, Limits())
    task = asyncio.create_task(live.run())
    try:
        await asyncio.sleep(0)
        _view(live, "trade")
        _view(live, "open_bar", interval="1m")
        await asyncio.sleep(3.0)  # filled
        acknowledged_s = await asyncio.to_thread(_paced, bootstrap_servers, rate, seconds)
        await asyncio.sleep(1.0)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    delays = [
        (hub.published_s[trade] - at_s) * 1e3
        for trade, at_s in acknowledged_s.items()
        if trade in hub.published_s
    ]
    return {"p50": median(delays), "p99": quantiles(delays, n=100)[98], "records": len(delays)}


def _paced(bootstrap_servers: str, rate: float, seconds: float) -> dict[int, float]:
    with tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as directory:
        path = Path(directory) / "acknowledged.json"
        arguments = [bootstrap_servers, str(rate), str(seconds), str(path)]
        subprocess.run([sys.executable, "-m", "bench.dashboard.pacer", *arguments], check=True)
        return {int(number): at_s for number, at_s in orjson.loads(path.read_bytes()).items()}
