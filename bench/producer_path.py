"""Producer path: socket → parse → check → Kafka acknowledged, beside the bare libraries on the same frames.

The bare loop does the same work with the libraries alone: websockets reads, orjson decodes and encodes,
confluent-kafka sends (idempotent, lz4), and waits for all acknowledgements at the end.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import orjson
from confluent_kafka import Consumer, Producer
from websockets.asyncio.client import connect

from bench.feed import stream_names
from bench.frames import INTERVALS, SYMBOL
from bench.processes import cpu_s, resident_bytes, running
from bench.topics import create_topic
from shared.kafka import consumer_config, producer_config
from shared.kafka_reader import PartitionId, watermarks
from shared.topics import DEPTH, QUOTES, TRADES, klines_live_topic

_DEADLINE_S = 120.0
_EACH_FRAME = (TRADES, QUOTES, DEPTH, *(klines_live_topic(interval) for interval in INTERVALS))


class Feed:
    """A feed process; `line()` reads its next message.

    Args:
        arguments: the module and its arguments.
    """

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.port: int = self.line()["port"]

    def line(self) -> dict[str, Any]:
        output: IO[bytes] | None = self.process.stdout
        assert output is not None
        message: dict[str, Any] = orjson.loads(output.readline())
        return message

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def bare(bootstrap_servers: str, prefix: str, count: int) -> dict[str, float]:
    """One round of the bare loop, in this process; each stream has a topic, as in the contract."""
    topics = {name: f"{prefix}.{name.replace('@', '.')}" for name in stream_names()}
    for topic in topics.values():
        create_topic(bootstrap_servers, topic)
    feed = Feed("bench.feed", str(count))
    try:
        cpu = time.process_time()
        end = asyncio.run(_bare_loop(feed.port, bootstrap_servers, topics, count))
        return {
            "messages_per_s": count / (end - feed.line()["sending_at"]),
            "cpu_us": (time.process_time() - cpu) / count * 1e6,
        }
    finally:
        feed.stop()


async def _bare_loop(port: int, bootstrap_servers: str, topics: dict[str, str], count: int) -> float:
    producer = Producer(producer_config(bootstrap_servers, "bench"))
    url = f"ws://127.0.0.1:{port}/stream?streams={'/'.join(stream_names())}"
    async with connect(url, proxy=None, compression=None, max_queue=1024, ping_interval=None) as connection:
        for number in range(count):
            envelope = orjson.loads(await connection.recv(decode=False))
            topic, value = topics[envelope["stream"]], orjson.dumps(envelope["data"])
            try:
                producer.produce(topic, value, b"key")
            except BufferError:
                producer.poll(0.1)
                producer.produce(topic, value, b"key")
            if number % 1_000 == 0:
                producer.poll(0)
        producer.flush()
        return time.monotonic()


def ours(bootstrap_servers: str, count: int) -> dict[str, float]:
    """One round of the real producer process: from the feed's first byte to the last record on Kafka."""
    feed = Feed("bench.feed", str(count))
    published = Published(bootstrap_servers)
    environment = {
        "BINANCE_REST_URL": f"http://127.0.0.1:{feed.port}",
        "BINANCE_WS_URL": f"ws://127.0.0.1:{feed.port}",
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "LOG_LEVEL": "WARNING",
    }
    with tempfile.TemporaryDirectory() as directory:
        # Start positions of its own: a round must not go on where the last one stood.
        start_positions = Path(directory) / "bearings.json"
        start_positions.write_bytes(b"{}")
        arguments = [
            "--symbols",
            SYMBOL,
            "--intervals",
            ",".join(INTERVALS),
            "--bearings",
            str(start_positions),
        ]
        try:
            with running([sys.executable, "-m", "producers", *arguments], environment) as process:
                start = feed.line()["sending_at"]
                cpu = cpu_s(process)
                wait(lambda: published() >= count)
                end = time.monotonic()
                used = cpu_s(process) - cpu
                resident = resident_bytes(process) / 2**20
        finally:
            feed.stop()
            published.close()
    return {"messages_per_s": count / (end - start), "cpu_us": used / count * 1e6, "resident_mb": resident}


def wait(done: Callable[[], bool]) -> None:
    """Until `done`; a benchmark that does not come to its end is no result."""
    give_up = time.monotonic() + _DEADLINE_S
    while not done():
        if time.monotonic() > give_up:
            raise SystemExit(
                "the producer did not publish every frame in time; is something else using the broker?"
            )
        time.sleep(0.1)


class Published:
    """Counts new records on topics: by default those that get one for each frame of `bench.feed`."""

    def __init__(self, bootstrap_servers: str, topics: Sequence[str] = _EACH_FRAME) -> None:
        self._consumer = Consumer(consumer_config(bootstrap_servers, "bench-watermarks", "bench"))
        known = self._consumer.list_topics(timeout=10).topics
        self._partitions = [(topic, partition) for topic in topics for partition in known[topic].partitions]
        self.mark()

    def mark(self) -> None:
        """Count from here on."""
        self._before = {partition: self._end(partition) for partition in self._partitions}

    def __call__(self) -> int:
        grown = {partition: self._end(partition) - self._before[partition] for partition in self._partitions}
        used = {number for (_, number), count in grown.items() if count}
        if used:
            # A key has one partition number: fewer requests leave the processor to the measured process.
            self._partitions = [partition for partition in self._partitions if partition[1] in used]
        return sum(grown.values())

    def close(self) -> None:
        self._consumer.close()

    def _end(self, partition: PartitionId) -> int:
        # A new topic may have no leader yet.
        return watermarks(self._consumer, partition, lambda reason: f"{partition}: no watermarks ({reason})")[
            1
        ]
