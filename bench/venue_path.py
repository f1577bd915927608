"""Producer path of Kraken and Coinbase beside the bare libraries: socket → parse → check → Kafka.

As `bench.producer_path` of Binance: the bare loop reads the same frames with websockets, decodes and encodes
with orjson a record for each trade, change of the book and quote, and sends them with confluent-kafka.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop
from confluent_kafka import Producer
from websockets.asyncio.client import connect

from bench.peers.runs import our_settings
from bench.processes import running
from bench.producer_path import Feed, Published, measured
from bench.topics import create_topic
from bench.venue_frames import SYMBOL, Counts, counts, frames, write
from producers.exchanges.port import Addresses
from producers.exchanges.registry import exchange_named
from shared.kafka import producer_config
from shared.topics import DEPTH, QUOTES, TRADES

# The requests of a producer's start for one symbol, at the pace that it keeps with Kraken.
SETTLE_S: Final = 25.0
_BARE_SETTLE_S: Final = 1.0
_INTERVALS: Final = ("1s", "1m")
_CHANNELS: Final = ("trade", "market_trades", "book", "l2_data", "ticker")
# Far above Coinbase's snapshot in these frames.
_MAX_SIZE: Final = 2**24


@dataclass(frozen=True, slots=True)
class Prepared:
    """A market's frames in a file, for all rounds and sides."""

    exchange: str
    file: Path
    start_ms: int
    frames: int
    counts: Counts

    def feed(self, settle_s: float) -> Feed:
        """A feed of them."""
        arguments = [self.exchange, str(self.file), str(self.start_ms), "--settle", str(settle_s)]
        return Feed("bench.venue_feed", *arguments)


def prepare(exchange: str, count: int, directory: Path) -> Prepared:
    """Make the frames: half a minute for 40,000."""
    start_ms = time.time_ns() // 1_000_000
    made = list(frames(exchange, start_ms, count))
    path = directory / f"{exchange}.frames"
    write(path, made)
    return Prepared(exchange, path, start_ms, count, counts(made))


def opening(exchange: str) -> Sequence[bytes]:
    """The frames by which our producer subscribes."""
    plan = exchange_named(exchange).connections(Addresses("", "", ""), (SYMBOL[exchange],), _INTERVALS)[0]
    return plan.opening


def bare(prepared: Prepared, bootstrap_servers: str, prefix: str) -> dict[str, float]:
    """One round of the bare loop, in this process; each channel has a topic."""
    topics = {channel: f"{prefix}.{prepared.exchange}.{channel}" for channel in _CHANNELS}
    for topic in topics.values():
        create_topic(bootstrap_servers, topic)
    with prepared.feed(_BARE_SETTLE_S) as feed:
        end, thread_s, process_s = uvloop.run(_bare_loop(prepared, feed, bootstrap_servers, topics))
        assert feed.line()["settled"]
        began = feed.line()["sending_at"]
    return {
        "messages_per_s": prepared.frames / (end - began),
        "thread_us": thread_s / prepared.frames * 1e6,
        "cpu_us": process_s / prepared.frames * 1e6,
    }


async def _bare_loop(
    prepared: Prepared, feed: Feed, bootstrap_servers: str, topics: dict[str, str]
) -> tuple[float, float, float]:
    """When the last record was acknowledged, and the time of thread and process from the first frame on."""
    producer = Producer(producer_config(bootstrap_servers, "bench"))
    path = "/v2" if prepared.exchange == "kraken" else "/"
    url = f"ws://127.0.0.1:{feed.port}{path}"
    options: Any = {"proxy": None, "compression": None, "max_queue": 1024, "ping_interval": None}
    async with connect(url, max_size=_MAX_SIZE, **options) as connection:
        for request in opening(prepared.exchange):
            await connection.send(request.decode())
        left, thread, process = prepared.frames, 0.0, 0.0
        while left:
            message = orjson.loads(await connection.recv(decode=False))
            topic = topics.get(message.get("channel", ""))
            if topic is None or _is_snapshot(message):
                continue
            if left == prepared.frames:
                thread, process = time.thread_time(), time.process_time()
            left -= 1
            for record in _records(message):
                value = orjson.dumps(record)
                while True:
                    try:
                        producer.produce(topic, value, b"key")
                        break
                    except BufferError:
                        producer.poll(0.1)
            if left % 1_000 == 0:
                producer.poll(0)
        producer.flush()
        return time.monotonic(), time.thread_time() - thread, time.process_time() - process


def _is_snapshot(message: dict[str, Any]) -> bool:
    first = message["events"][0] if "events" in message else message
    return bool(first.get("type") == "snapshot")


def _records(message: dict[str, Any]) -> Iterator[Any]:
    if "data" in message:
        yield from message["data"]
        return
    for event in message["events"]:
        if "trades" in event:
            yield from event["trades"]
        else:
            yield event


def ours(prepared: Prepared, bootstrap_servers: str) -> dict[str, float]:
    """One round of the real producer process: from the feed's first byte to the last record on Kafka."""
    # Quotes of Coinbase are those of its book, and come when they have changed.
    topics = (TRADES, DEPTH, QUOTES) if prepared.counts.quotes else (TRADES, DEPTH)
    due = prepared.counts.trades + prepared.counts.books + prepared.counts.quotes
    symbol = SYMBOL[prepared.exchange]
    published = Published(bootstrap_servers, topics)
    with prepared.feed(SETTLE_S) as feed, tempfile.TemporaryDirectory() as directory:
        environment = {
            **our_settings(prepared.exchange, f"http://127.0.0.1:{feed.port}", bootstrap_servers),
            "SYMBOLS": symbol,
        }
        start_positions = Path(directory) / "bearings.json"
        start_positions.write_bytes(b"{}")
        command = [sys.executable, "-m", "producers", "--symbols", symbol]
        command += ["--intervals", ",".join(_INTERVALS), "--bearings", str(start_positions)]
        with running(command, environment) as process:
            return measured(process, feed, published, prepared.frames, due)
