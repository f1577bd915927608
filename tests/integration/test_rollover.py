"""Connections that end of age under a busy market, on a real Kafka: nothing of it is seen on the topics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from producers.progress import decode_progress
from producers.start_positions import trades_series
from shared.topics import DEPTH, LEDGER, PROGRESS
from tests.builders import NOW_MS
from tests.integration.busy_exchange import BusyExchange
from tests.integration.fake_exchange import serving
from tests.integration.producer_harness import Reader, Run, open_times, trade_ids, until

ROLLOVERS = 10
TRADES_PER_S = 1_200


@pytest.fixture
def exchange(unique: str) -> Iterator[BusyExchange]:
    busy = BusyExchange(NOW_MS + 30_000, trades_per_s=TRADES_PER_S, age_s=3.5, lead_s=1.5, lag_s=0.2)
    busy.symbol = f"T{unique.upper()}"
    with serving(busy) as running:
        yield running


@pytest.fixture
def reader(kafka_topics: str) -> Iterator[Reader]:
    reading = Reader(kafka_topics)
    yield reading
    reading.close()


@contextmanager
def running(exchange: BusyExchange, bootstrap_servers: str, *arguments: str) -> Iterator[Run]:
    run = Run(exchange, bootstrap_servers, *arguments, module="tests.integration.odd_producer")
    try:
        until(lambda: exchange.connected == 1, "the producer is connected", run)
        exchange.deal()
        yield run
    finally:
        if run.process.poll() is None:
            run.kill()


def kinds(reader: Reader, exchange: BusyExchange, since_ms: int = 0) -> set[str]:
    """What the ledger says from a moment on."""
    events = reader.messages(LEDGER, exchange.symbol)
    return {event["kind"] for event in events if event["received_time_ms"] >= since_ms}


def begun(reader: Reader, exchange: BusyExchange) -> bool:
    """Progress of trades is written once it is known with which they begin; on a slow machine REST is asked
    for it more than once."""
    noted = reader.records(PROGRESS, trades_series("binance", exchange.symbol))
    return any(decode_progress(record.value()).last_id is not None for record in noted)


def test_ten_rollovers_lose_nothing_repeat_nothing_and_ask_for_nothing(
    exchange: BusyExchange, reader: Reader, kafka_topics: str
) -> None:
    with running(exchange, kafka_topics) as run:
        until(lambda: len(reader.messages(DEPTH, exchange.symbol)) > 3, "a synced book", run)
        until(lambda: begun(reader, exchange), "what the trades begin with", run)
        begun_ms = reader.messages(DEPTH, exchange.symbol)[-1]["received_time_ms"]
        asked = list(exchange.requests)
        # The next connection is opened only once the one before has taken over.
        until(lambda: exchange.opened > ROLLOVERS + 1, "ten rollovers, and the next one", run, 120)
        until(lambda: exchange.connected == 1, "the last old connection is closed", run)
        exchange.pause()
        last = exchange.trades[-1]["id"]
        until(lambda: last in trade_ids(reader, exchange), "the last trade", run)
        assert run.stop() == 0
        log = run.process.stderr.read() if run.process.stderr else ""
    assert log.count("the next connection has taken over") >= ROLLOVERS, log
    assert set(exchange.requests[len(asked) :]) <= {"time", "exchangeInfo"}
    ids = trade_ids(reader, exchange)
    assert ids == list(range(ids[0], last + 1))
    minutes = open_times(reader, exchange)
    assert minutes == list(range(minutes[0], minutes[0] + len(minutes)))
    diffs = reader.messages(DEPTH, exchange.symbol)
    assert [diff["kind"] for diff in diffs].count("snapshot") == 1
    assert [diff["first_update_id"] for diff in diffs[2:]] == [d["final_update_id"] + 1 for d in diffs[1:-1]]
    assert not kinds(reader, exchange, begun_ms) & {"gap", "duplicate", "repaired", "lost", "unsynced"}


def test_without_the_merge_the_same_rollovers_are_seen(
    exchange: BusyExchange, reader: Reader, kafka_topics: str
) -> None:
    with running(exchange, kafka_topics, "--without-merge") as run:
        until(lambda: exchange.opened > 3, "some rollovers", run, 60)
        exchange.pause()
        run.stop()
    assert kinds(reader, exchange) & {"duplicate", "gap"}
