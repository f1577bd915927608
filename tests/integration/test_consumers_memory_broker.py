"""Consumers on librdkafka's in-memory broker: nothing survives but the store (DESIGN §7)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from consumers.indicators.bars import Bar
from consumers.indicators.registry import indicator_set
from shared.kafka import producer_config
from shared.messages import encode
from shared.topics import TRADES, klines_topic
from tests.builders import kline, trade
from tests.integration.consumer_harness import consuming, rows, until

START_MS = (int(time.time()) // 60 - 30) * 60_000
KEY = b"binance:BTCUSDC"


@contextmanager
def memory_broker() -> Iterator[str]:
    """A broker in this process; all of it is gone afterwards."""
    handle = AdminClient({"test.mock.num.brokers": 1, "log_level": 0})
    (broker, *_) = handle.list_topics(timeout=10).brokers.values()
    yield f"{broker.host}:{broker.port}"
    del handle


def publish(address: str, records: list[tuple[str, Any]]) -> None:
    producer = Producer(producer_config(address, "test", memory_broker=True))
    for topic, message in records:
        producer.produce(topic, key=KEY, value=encode(message))
    assert producer.flush(30) == 0


def records(first: int, last: int) -> list[tuple[str, Any]]:
    """Bars and trades `first` to `last`; the trades lie 10 s apart, so that a minute has six."""
    bars: list[tuple[str, Any]] = [
        (klines_topic("1m"), kline(open_time_ms=START_MS + n * 60_000, close=f"{100 + n % 5}.5"))
        for n in range(first, last)
    ]
    return bars + [
        (TRADES, trade(trade_id=n, trade_time_ms=START_MS + n * 10_000, quantity="0.1"))
        for n in range(first, last)
    ]


def holds(store: Path, table: str, count: int) -> bool:
    return len(rows(store, f"select 1 from {table}")) == count


def test_a_restart_with_an_empty_broker_goes_on_from_the_store(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    options = ("--stream", "all", "--intervals", "1m", "--memory-broker", "--rebuild-from-store")
    # The first run ends within a minute of trades and within a series of bars.
    for first, last in ((0, 21), (21, 40)):
        with memory_broker() as address, consuming(address, store, *options) as run:
            publish(address, records(first, last))
            until(partial(holds, store, "indicator", last), "the bars")
            until(partial(holds, store, "trade", last), "the trades")
            code, errors = run.stop()
            assert code == 0, errors
    summaries = rows(store, "select trade_count, base_volume from trade_summary where interval = '1m'")
    assert summaries == [(6, 0.6)] * 6 + [(4, 0.4)]
    indicators = indicator_set(("all",))
    state, column = indicators.initial(), indicators.columns.index("volume_obv")
    expected = []
    for _, bar in records(0, 40)[:40]:
        numbers = (float(bar[name]) for name in ("open", "high", "low", "close", "base_volume"))
        state, values = indicators.step(state, Bar(bar["open_time_ms"], *numbers))
        expected.append((values[column],))
    assert rows(store, "select volume_obv from indicator order by time_ns") == expected
    assert rows(store, "select distinct duplicates, lost from ledger where expected > 0") == []
