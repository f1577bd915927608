"""Producer processes between a small exchange and a real Kafka: stopped, killed, cut off, started again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from producers.progress import decode_progress
from producers.start_positions import trades_series
from shared.kafka import producer_config
from shared.messages import message_key
from shared.partitioner import partition_of
from shared.topics import (
    BOOK,
    DEAD_LETTERS,
    DEPTH,
    METRICS,
    PROGRESS,
    TRADES,
    declared_topics,
)
from tests.builders import NOW_MS
from tests.conftest import real_kafka
from tests.integration.fake_exchange import FakeExchange, fake_exchange
from tests.integration.producer_harness import ROOT, Reader, Run, open_times, said, trade_ids, until


@pytest.fixture
def exchange(unique: str) -> Iterator[FakeExchange]:
    """A market of its own for each test, since all share one Kafka."""
    with fake_exchange(NOW_MS + 30_000) as running:
        running.symbol = f"T{unique.upper()}"
        yield running


@pytest.fixture
def reader(kafka_topics: str) -> Iterator[Reader]:
    reading = Reader(kafka_topics)
    yield reading
    reading.close()


@pytest.fixture
def start(exchange: FakeExchange, kafka_topics: str) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def started(*arguments: str, module: str = "producers") -> Run:
        run = Run(exchange, kafka_topics, *arguments, module=module)
        runs.append(run)
        until(lambda: exchange.connected == 1, "the producer is connected", run)
        return run

    yield started
    for run in runs:
        if run.process.poll() is None:
            run.kill()


def test_bars_are_warmed_up_filled_and_published_once_in_order(
    start: Callable[..., Run], exchange: FakeExchange, reader: Reader
) -> None:
    run = start()
    until(lambda: open_times(reader, exchange) == [-5, -4, -3, -2, -1], "the warm-up", run)
    exchange.close_bar()
    exchange.close_bar(streamed=False)
    exchange.close_bar()
    until(lambda: open_times(reader, exchange) == list(range(-5, 3)), "the hole is filled", run)
    assert run.stop() == 0
    assert said(reader, exchange, "expected", "klines") == set(range(-5, 3))
    assert said(reader, exchange, "gap", "klines") == {1}
    assert said(reader, exchange, "repaired", "klines") == {-5, -4, -3, -2, -1, 1}


def test_a_restart_goes_on_from_the_progress(
    start: Callable[..., Run], exchange: FakeExchange, reader: Reader
) -> None:
    run = start()
    first = exchange.trade()
    exchange.close_bar()
    until(lambda: open_times(reader, exchange)[-1:] == [0], "the bar", run)
    until(lambda: trade_ids(reader, exchange) == [first], "the trade", run)
    # Not before: a producer that is stopped within its first second knows no base to count from.
    series = trades_series("binance", exchange.symbol)

    def is_noted() -> bool:
        """The first record of all is a marker, without an id."""
        noted = reader.records(PROGRESS, series)
        return bool(noted) and decode_progress(noted[-1].value()).last_id == first

    until(is_noted, "progress of the trades", run)
    assert run.stop() == 0
    progress = reader.records(PROGRESS, series)[-1]
    assert decode_progress(progress.value()).last_id == first
    assert decode_progress(progress.value()).stopped
    exchange.close_bar(streamed=False)
    away = exchange.trade(streamed=False)
    run = start()
    back = exchange.trade()
    until(lambda: open_times(reader, exchange) == list(range(-5, 2)), "the bar of the absence", run)
    until(lambda: len(trade_ids(reader, exchange)) == 3, "the trade of the absence", run)
    assert run.stop() == 0
    assert sorted(trade_ids(reader, exchange)) == [first, away, back]
    assert said(reader, exchange, "expected", "trades") == {first, away, back}


def test_a_killed_producer_repeats_nothing_and_forgets_nothing(
    start: Callable[..., Run], exchange: FakeExchange, reader: Reader
) -> None:
    issued: list[int] = []

    def all_there(bar: int) -> bool:
        return issued[-1] in trade_ids(reader, exchange) and bar in open_times(reader, exchange)

    for number in range(3):
        run = start()
        # Killed as soon as the records are there: before, while and after progress is written.
        issued += [exchange.trade() for _ in range(50)]
        exchange.close_bar()
        until(partial(all_there, number), "trades and bar", run)
        run.kill()
        until(lambda: exchange.connected == 0, "the connection is gone")
        issued += [exchange.trade(streamed=False) for _ in range(5)]
    run = start()
    issued.append(exchange.trade())
    until(lambda: len(trade_ids(reader, exchange)) >= len(issued), "all trades", run)
    assert run.stop() == 0
    assert sorted(trade_ids(reader, exchange)) == issued
    assert open_times(reader, exchange) == list(range(-5, 3))
    assert said(reader, exchange, "expected", "trades") == set(issued)
    assert said(reader, exchange, "expected", "klines") == set(range(-5, 3))


def test_trades_of_a_producer_killed_before_its_first_record_are_not_forgotten(
    start: Callable[..., Run], exchange: FakeExchange, reader: Reader
) -> None:
    run = start()
    # What the killed process had in hand is what the exchange has issued and Kafka has not.
    run.kill()
    until(lambda: exchange.connected == 0, "the connection is gone")
    issued = [exchange.trade(streamed=False) for _ in range(3)]
    run = start()
    issued.append(exchange.trade())
    until(lambda: len(trade_ids(reader, exchange)) == len(issued), "all trades", run)
    assert run.stop() == 0
    assert sorted(trade_ids(reader, exchange)) == issued
    assert said(reader, exchange, "expected", "trades") == set(issued)


def test_a_series_of_which_kafka_has_nothing_goes_on_after_what_is_stored(
    start: Callable[..., Run], exchange: FakeExchange, reader: Reader, tmp_path: Path
) -> None:
    issued = [exchange.trade(streamed=False) for _ in range(5)]
    stored = {trades_series("binance", exchange.symbol): [issued[1], NOW_MS]}
    file = tmp_path / "stored.json"
    file.write_bytes(orjson.dumps(stored))
    run = start("--stored", str(file))
    issued.append(exchange.trade())
    until(lambda: len(trade_ids(reader, exchange)) == 4, "the trades that are not stored", run)
    run.kill()
    until(lambda: exchange.connected == 0, "the connection is gone")
    stored[trades_series("binance", exchange.symbol)] = [issued[0], NOW_MS]
    file.write_bytes(orjson.dumps(stored))
    run = start("--stored", str(file))
    issued.append(exchange.trade())
    until(lambda: len(trade_ids(reader, exchange)) >= 5, "the next trade", run)
    assert run.stop() == 0
    found = trade_ids(reader, exchange)
    assert len(found) == len(set(found)), "what Kafka has counts before the store"
    assert set(found) >= set(issued[2:])
    assert said(reader, exchange, "expected", "trades") == set(found)


def test_garbage_above_the_progress_and_in_its_place_ends_no_producer(
    start: Callable[..., Run], exchange: FakeExchange, reader: Reader, kafka_topics: str
) -> None:
    series, key = trades_series("binance", exchange.symbol), message_key("binance", exchange.symbol)
    run = start()
    issued = [exchange.trade() for _ in range(5)]
    until(lambda: len(trade_ids(reader, exchange)) == 5, "the trades", run)
    until(lambda: len(reader.records(PROGRESS, series)) > 1, "their progress", run)
    run.kill()
    until(lambda: exchange.connected == 0, "the connection is gone")
    producer = Producer(producer_config(kafka_topics, "test"))
    producer.produce(TRADES, b"\x00 no trade", key)
    producer.produce(PROGRESS, b"\x00 no progress", series.encode())
    assert producer.flush(10) == 0
    before = len(reader.records(DEAD_LETTERS, series))
    for _ in range(2):
        run = start()
        issued.append(exchange.trade())
        until(lambda: len(reader.records(TRADES, key.decode())) == len(issued) + 1, "the next trade", run)
        run.kill()
        until(lambda: exchange.connected == 0, "the connection is gone")
    found = [record.value() for record in reader.records(TRADES, key.decode())]
    ids = sorted(orjson.loads(value)["trade_id"] for value in found if value.startswith(b"{"))
    assert ids == issued, "each once, and none forgotten"
    letters = reader.records(DEAD_LETTERS, series)[before:]
    assert [letter.value() for letter in letters] == [b"\x00 no progress"], "put aside, and only once"
    assert b"pipeline.progress" in dict(letters[0].headers() or [])["reason"]


def test_a_cut_connection_costs_no_trade_and_the_book_says_when_it_was_not_exact(
    start: Callable[..., Run], exchange: FakeExchange, reader: Reader
) -> None:
    run = start(module="tests.integration.odd_producer")  # no audit, which takes a snapshot of its own
    issued = [exchange.trade()]

    def synced() -> bool:
        exchange.change_book()
        return any(message["synced"] for message in reader.messages(BOOK, exchange.symbol))

    until(synced, "a synced book", run)
    exchange.cut()
    until(lambda: exchange.connected == 0, "the connection is gone")
    issued.append(exchange.trade(streamed=False))
    until(lambda: exchange.connected == 1, "a new connection", run)
    issued.append(exchange.trade())

    def synced_again() -> bool:
        exchange.change_book()
        return [m["synced"] for m in reader.messages(BOOK, exchange.symbol)][-2:] == [False, True]

    until(synced_again, "the book is exact again", run)
    until(lambda: len(trade_ids(reader, exchange)) == 3, "the missed trade", run)
    assert run.stop() == 0
    assert sorted(trade_ids(reader, exchange)) == issued
    assert said(reader, exchange, "repaired", "trades") == {issued[1]}
    assert said(reader, exchange, "unsynced", "depth")
    depth = reader.messages(DEPTH, exchange.symbol)
    assert depth[0]["kind"] == "snapshot"
    assert sum(message["kind"] == "snapshot" for message in depth) == 2


def test_a_host_without_history_repairs_from_the_newest_trades(
    start: Callable[..., Run], exchange: FakeExchange, reader: Reader
) -> None:
    exchange.without_history = True
    run = start()
    issued = [exchange.trade(), exchange.trade(streamed=False), exchange.trade()]
    until(lambda: len(trade_ids(reader, exchange)) == 3, "the missed trade", run)
    assert run.stop() == 0
    assert sorted(trade_ids(reader, exchange)) == issued


def test_a_broken_frame_goes_to_the_dead_letters_unchanged(
    start: Callable[..., Run], exchange: FakeExchange, reader: Reader
) -> None:
    run = start()
    stream = f"{exchange.symbol.lower()}@trade"
    broken = orjson.dumps({"stream": stream, "data": {"e": "trade", "s": exchange.symbol}}).decode()
    exchange.frame(broken)
    key = f"binance:{exchange.symbol}"
    until(lambda: len(reader.records(DEAD_LETTERS, key)) == 1, "the dead letter", run)
    letter = reader.records(DEAD_LETTERS, key)[0]
    assert letter.value().decode() == broken
    assert dict(letter.headers())["source_topic"].decode() == f"websocket:{stream}"
    issued = exchange.trade()
    until(lambda: trade_ids(reader, exchange) == [issued], "the next trade", run)
    assert run.stop() == 0


def test_a_key_lies_on_the_partition_that_our_arithmetic_gives(
    start: Callable[..., Run], exchange: FakeExchange, reader: Reader
) -> None:
    run = start()
    exchange.trade()
    key = message_key("binance", exchange.symbol)
    until(lambda: len(reader.records(TRADES, key.decode())) == 1, "the trade", run)
    assert reader.records(TRADES, key.decode())[0].partition() == partition_of(key, 6)
    until(lambda: bool(reader.records(METRICS, "producer")), "metrics", run)
    gauges = orjson.loads(reader.records(METRICS, "producer")[-1].value())["gauges"]
    assert {"warm", "pending_fills", "queue_length", "synced_books", "books"} <= set(gauges)
    assert run.stop() == 0


def test_a_broker_that_dies_and_comes_back_costs_nothing_and_one_that_stays_away_is_named(
    exchange: FakeExchange, tmp_path: Path
) -> None:
    with real_kafka(tmp_path / "kafka") as broker:
        client = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        topics = [NewTopic(topic.name, 6, 1, config=topic.config()) for topic in declared_topics(("1m",))]
        for future in client.create_topics(topics).values():
            future.result(30)
        run = Run(exchange, broker.bootstrap_servers)
        until(lambda: exchange.connected == 1, "the producer is connected", run)
        issued = [exchange.trade() for _ in range(20)]
        broker.kill()
        issued += [exchange.trade() for _ in range(20)]
        broker.restart()
        issued += [exchange.trade() for _ in range(20)]
        reader = Reader(broker.bootstrap_servers)
        until(lambda: len(trade_ids(reader, exchange)) >= 60, "all trades", run, 60.0)
        assert trade_ids(reader, exchange) == issued
        reader.close()
        broker.kill()
        exchange.trade()
        assert run.stop() == 1
        assert run.process.stderr is not None
        line = run.process.stderr.read().strip().splitlines()[-1]
        assert "records were not delivered" in line
        assert broker.bootstrap_servers in line


def failed(exchange: FakeExchange, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and last line of a producer that cannot start."""
    done = subprocess.run(
        [sys.executable, "-m", "producers", *arguments],
        cwd=ROOT,
        env={**os.environ, **exchange.environment("127.0.0.1:1"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.strip().splitlines()[-1]


def test_an_unknown_symbol_is_named_with_one_that_is_spelled_alike(
    exchange: FakeExchange, kafka_topics: str
) -> None:
    misspelled = exchange.symbol[:-1] + "ZZ"
    code, line = failed(exchange, "--symbols", misspelled, KAFKA_BOOTSTRAP_SERVERS=kafka_topics)
    assert code == 2
    assert misspelled in line
    assert exchange.symbol in line


def test_a_broker_that_is_down_is_named_with_the_way_out(exchange: FakeExchange) -> None:
    code, line = failed(exchange)
    assert code == 1
    assert line.startswith('error: KAFKA_BOOTSTRAP_SERVERS: no broker answers at "127.0.0.1:1"')


def test_a_missing_topic_is_named_with_the_command_that_makes_it(
    exchange: FakeExchange, kafka_topics: str
) -> None:
    code, line = failed(exchange, "--intervals", "3m", KAFKA_BOOTSTRAP_SERVERS=kafka_topics)
    assert code == 1
    assert "market.klines" in line
    assert "cryptostream topics" in line


def test_brokers_that_are_not_named_are_asked_for(exchange: FakeExchange) -> None:
    code, line = failed(exchange, KAFKA_BOOTSTRAP_SERVERS="")
    assert code == 2
    assert line.startswith("error: KAFKA_BOOTSTRAP_SERVERS: is not set")
