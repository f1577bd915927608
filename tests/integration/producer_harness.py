"""What tests of producer processes share: the process, a reader of topics, waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, TopicPartition

from shared.kafka import consumer_config
from shared.kafka_reader import passed_over, read_to_end
from shared.topics import LEDGER, TRADES, klines_topic
from tests.builders import NOW_MS
from tests.integration.fake_exchange import MINUTE_MS, FakeExchange
from tests.integration.kafka_answers import DEADLINE_S, answered, ends

ROOT = Path(__file__).resolve().parents[2]
KLINES = klines_topic("1m")


class Reader:
    """Reads the records of one symbol from a topic's beginning."""

    def __init__(self, bootstrap_servers: str) -> None:
        config = consumer_config(bootstrap_servers, "test-reader", "test-reader")
        self._consumer = Consumer({**config, "enable.partition.eof": True})

    def records(self, topic: str, key: str | None = None) -> list[Any]:
        """What the topic holds now: where records keep coming, its end may never be met."""
        numbers = answered(lambda: self._consumer.list_topics(topic, timeout=10)).topics[topic].partitions
        highs = ends(self._consumer, [TopicPartition(topic, number) for number in numbers])
        found, reached = [], dict.fromkeys(highs, 0)
        records = read_to_end(
            self._consumer,
            {(topic, number): 0 for number, end in highs.items() if end > 0},
            silent=f"{topic} is not given to its end",
            unreadable=passed_over,
            batch=1_000,
            poll_s=0.1,
            patience_s=DEADLINE_S,
            enough=lambda _, number: reached[number] >= highs[number],
        )
        for message in records:
            reached[message.partition() or 0] = (message.offset() or 0) + 1
            if key is None or (message.key() or b"").decode() == key:
                found.append(message)
        return found

    def messages(self, topic: str, symbol: str) -> list[Any]:
        return [orjson.loads(record.value()) for record in self.records(topic, f"binance:{symbol}")]

    def close(self) -> None:
        self._consumer.close()


class Run:
    """A producer process."""

    def __init__(
        self, exchange: FakeExchange, bootstrap_servers: str, *arguments: str, module: str = "producers"
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**os.environ, **exchange.environment(bootstrap_servers)},
            stderr=subprocess.PIPE,
            text=True,
        )

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


def until(condition: Callable[[], bool], what: str, run: Run | None = None, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if run is not None and run.process.poll() is not None:
            assert run.process.stderr is not None
            raise AssertionError(f"the producer has ended: {run.process.stderr.read()}")
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.1)


def open_times(reader: Reader, exchange: FakeExchange) -> list[int]:
    """Bars on the topic, in minutes from the start of the exchange."""
    return [(bar["open_time_ms"] - NOW_MS) // MINUTE_MS for bar in reader.messages(KLINES, exchange.symbol)]


def trade_ids(reader: Reader, exchange: FakeExchange) -> list[int]:
    return [trade["trade_id"] for trade in reader.messages(TRADES, exchange.symbol)]


def said(reader: Reader, exchange: FakeExchange, kind: str, stream: str) -> set[int]:
    """All ids that the ledger has of a kind (numbers of minutes for bars)."""
    ids: set[int] = set()
    for event in reader.messages(LEDGER, exchange.symbol):
        if event["kind"] == kind and event["stream"] == stream:
            first, last = event["first"], event["last"]
            if stream == "klines":
                first, last = ((time_ms - NOW_MS) // MINUTE_MS for time_ms in (first, last))
            ids.update(range(first, last + 1))
    return ids
