"""A real broker goes away under a busy market: the queue fills, the exchange is left, the hole is filled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import psutil
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from cryptostream.engines.kafka import KafkaServer
from shared.topics import BOOK, METRICS, declared_topics
from tests.builders import NOW_MS
from tests.conftest import real_kafka
from tests.integration.busy_exchange import BusyExchange
from tests.integration.fake_exchange import serving
from tests.integration.producer_harness import Reader, Run, open_times, said, trade_ids, until

# Filled within seconds at this rate; the bound of memory is that of the queue and of the process itself.
QUEUE = 5_000
TRADES_PER_S = 2_000
RESIDENT_MB = 200


@pytest.fixture
def exchange(unique: str) -> Iterator[BusyExchange]:
    busy = BusyExchange(NOW_MS + 30_000, trades_per_s=TRADES_PER_S)
    busy.symbol = f"T{unique.upper()}"
    with serving(busy) as running:
        yield running


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaServer]:
    with real_kafka(tmp_path / "kafka") as server:
        client = AdminClient({"bootstrap.servers": server.bootstrap_servers})
        topics = [NewTopic(topic.name, 6, 1, config=topic.config()) for topic in declared_topics(("1m",))]
        for future in client.create_topics(topics).values():
            future.result(30)
        yield server


def started(exchange: BusyExchange, broker: KafkaServer) -> Run:
    module = "tests.integration.odd_producer"
    run = Run(exchange, broker.bootstrap_servers, "--queue", str(QUEUE), module=module)
    until(lambda: exchange.connected == 1, "the producer is connected", run)
    return run


def resident_mb(run: Run) -> float:
    return float(psutil.Process(run.process.pid).memory_info().rss / 2**20)


def assert_everything_there(exchange: BusyExchange, reader: Reader) -> None:
    ids = trade_ids(reader, exchange)
    assert sorted(ids) == list(range(min(ids), exchange.trades[-1]["id"] + 1))
    minutes = open_times(reader, exchange)
    assert minutes == list(range(minutes[0], minutes[-1] + 1))
    assert not said(reader, exchange, "lost", "trades")
    assert not said(reader, exchange, "lost", "klines")


def test_a_broker_away_longer_than_the_queue_lasts_costs_nothing(
    exchange: BusyExchange, broker: KafkaServer
) -> None:
    run = started(exchange, broker)
    reader = Reader(broker.bootstrap_servers)
    try:
        exchange.deal()
        until(lambda: len(trade_ids(reader, exchange)) > TRADES_PER_S, "trades", run)
        broker.kill()
        until(lambda: exchange.connected == 0, "the exchange is left", run)
        missed = exchange.trades[-1]["id"]
        until(lambda: exchange.trades[-1]["id"] > missed + 5 * TRADES_PER_S, "a long outage", run)
        assert resident_mb(run) < RESIDENT_MB
        broker.restart()
        until(lambda: exchange.connected == 1, "the exchange is read again", run)
        back = exchange.trades[-1]["id"]
        until(lambda: exchange.trades[-1]["id"] > back + TRADES_PER_S, "some more trades", run)
        exchange.pause()
        issued = len(exchange.trades)
        until(lambda: len(trade_ids(reader, exchange)) >= issued - 1, "every trade", run, 60.0)
        assert resident_mb(run) < RESIDENT_MB
        assert run.stop() == 0
        log = run.process.stderr.read() if run.process.stderr else ""
        assert_everything_there(exchange, reader)
        assert len(set(trade_ids(reader, exchange))) == len(trade_ids(reader, exchange))
        gauges = orjson.loads(reader.records(METRICS, "producer")[-1].value())["gauges"]
        assert gauges["repair_mode"] == 0
        assert gauges["repair_modes"] == log.count("exchange paused, gap will be backfilled") >= 1
        assert log.count("Kafka accepts records again") == gauges["repair_modes"]
        books = [message["synced"] for message in reader.messages(BOOK, exchange.symbol)]
        assert False in books
        assert books[-1] is True
    finally:
        reader.close()
        if run.process.poll() is None:
            run.kill()


def test_a_stop_while_the_broker_is_away_is_in_time_and_the_next_start_finds_everything(
    exchange: BusyExchange, broker: KafkaServer
) -> None:
    run = started(exchange, broker)
    reader = Reader(broker.bootstrap_servers)
    try:
        exchange.deal()
        until(lambda: len(trade_ids(reader, exchange)) > TRADES_PER_S, "trades", run)
        broker.kill()
        until(lambda: exchange.connected == 0, "the exchange is left", run)
        assert run.stop() == 1
        assert run.process.stderr is not None
        line = run.process.stderr.read().strip().splitlines()[-1]
        assert "records were not delivered" in line
        assert broker.bootstrap_servers in line
        broker.restart()
        run = started(exchange, broker)
        exchange.pause()
        issued = len(exchange.trades)
        until(lambda: len(set(trade_ids(reader, exchange))) >= issued - 1, "every trade", run, 60.0)
        assert run.stop() == 0
        assert_everything_there(exchange, reader)
    finally:
        reader.close()
        if run.process.poll() is None:
            run.kill()
