"""Producer path: socket → parse → check → Kafka acknowledged, beside the bare libraries on the same frames.

The bare loop does the same work by the libraries alone: websockets reads, orjson decodes and encodes again,
confluent-kafka sends (idempotent, lz4), and everything is acknowledged at the end.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import IO, Any

import orjson
import psutil
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from websockets.asyncio.client import connect

from bench.feed import stream_names
from bench.frames import INTERVALS, SYMBOL
from bench.limits import create_topic
from shared.kafka import consumer_config, producer_config
from shared.topics import DEPTH, QUOTES, TRADES, klines_live_topic

_DEADLINE_S = 120.0


class Feed:
    """A feed process; `line()` reads what it says next."""

    def __init__(self, count: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.feed", str(count)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.port: int = self.line()["port"]

    def line(self) -> dict[str, Any]:
        output: IO[bytes] | None = self.process.stdout
        assert output is not None
        said: dict[str, Any] = orjson.loads(output.readline())
        return said

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def bare(bootstrap_servers: str, prefix: str, count: int) -> dict[str, float]:
    """One round of the bare loop, in this process; each stream has a topic, as the contract has it."""
    topics = {name: f"{prefix}.{name.replace('@', '.')}" for name in stream_names()}
    for topic in topics.values():
        create_topic(bootstrap_servers, topic)
    feed = Feed(count)
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
    feed = Feed(count)
    published = Published(bootstrap_servers)
    environment = {
        **os.environ,
        "BINANCE_REST_URL": f"http://127.0.0.1:{feed.port}",
        "BINANCE_WS_URL": f"ws://127.0.0.1:{feed.port}",
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "LOG_LEVEL": "WARNING",
    }
    with tempfile.TemporaryDirectory() as directory:
        # Bearings of its own: rounds must not go on where the last one stood.
        bearings = os.path.join(directory, "bearings.json")  # noqa: PTH118
        with open(bearings, "wb") as file:  # noqa: PTH123
            file.write(b"{}")
        command = [sys.executable, "-m", "producers", "--symbols", SYMBOL, "--intervals", ",".join(INTERVALS)]
        process = subprocess.Popen([*command, "--bearings", bearings], env=environment)
        try:
            child = psutil.Process(process.pid)
            start = feed.line()["sending_at"]
            cpu = sum(child.cpu_times()[:2])
            _wait(lambda: published() >= count)
            end = time.monotonic()
            used = sum(child.cpu_times()[:2]) - cpu
            resident = child.memory_info().rss / 2**20
        finally:
            process.terminate()
            process.wait(20)
            feed.stop()
            published.close()
    return {"messages_per_s": count / (end - start), "cpu_us": used / count * 1e6, "resident_mb": resident}


def _wait(done: Callable[[], bool]) -> None:
    give_up = time.monotonic() + _DEADLINE_S
    while not done():
        if time.monotonic() > give_up:
            raise SystemExit(
                "the producer did not publish every frame in time; is something else using the broker?"
            )
        time.sleep(0.1)


class Published:
    """Counts records on the topics that get one for each frame, from the moment it is made."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._consumer = Consumer(consumer_config(bootstrap_servers, "bench-watermarks", "bench"))
        topics = (TRADES, QUOTES, DEPTH, *(klines_live_topic(interval) for interval in INTERVALS))
        known = self._consumer.list_topics(timeout=10).topics
        self._places = [
            TopicPartition(topic, partition) for topic in topics for partition in known[topic].partitions
        ]
        self._before = {(place.topic, place.partition): self._end(place) for place in self._places}

    def __call__(self) -> int:
        moved = {
            place: self._end(place) - self._before[place.topic, place.partition] for place in self._places
        }
        partitions = {place.partition for place, count in moved.items() if count}
        if partitions:
            # One key lives on one partition number. Asking less leaves the processor to what is measured.
            self._places = [place for place in self._places if place.partition in partitions]
        return sum(moved.values())

    def close(self) -> None:
        self._consumer.close()

    def _end(self, place: TopicPartition) -> int:
        give_up = time.monotonic() + 10
        while True:
            try:
                return int(self._consumer.get_watermark_offsets(place, timeout=10)[1])
            except KafkaException as error:
                # A topic made a moment ago may have no leader yet.
                if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION or time.monotonic() > give_up:
                    raise
                time.sleep(0.1)
