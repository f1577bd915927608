"""Taps on a real Kafka: what they push is what the consumers store."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from consumers.enrich.klines import KlineEnricher
from consumers.indicators.registry import indicator_set
from consumers.measurements import MEASUREMENTS
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_reader import SqliteReader
from consumers.tap import fill_bars
from consumers.tap.kafka import admin_of, incarnations_of
from consumers.tap.port import Filled
from consumers.tap.records import as_stored
from consumers.tap.series import LiveSeries
from consumers.tap.trades import TradeTap
from cryptostream.engines.kafka import KafkaServer
from cryptostream.run.broker import MemoryBroker
from cryptostream.topics_admin import ensure_topics
from shared.kafka import producer_config
from shared.topics import BOOK, LEDGER, QUOTES, TRADES, klines_live_topic, klines_topic
from tests.builders import book, kline, ledger, quote, trade
from tests.conftest import real_kafka
from tests.integration.api.tap_harness import Viewer, taps_for, viewing
from tests.integration.consumer_harness import consuming, publish, rows, until

START_MS = (int(time.time()) // 60 - 700) * 60_000
SYMBOLS = ("BTCUSDC", "ETHUSDC", "SOLUSDC")
BARS = ("binance", "BTCUSDC", "1m")
BTC = ("binance", "BTCUSDC")
KEY = b"binance:BTCUSDC"
RANDOM = random.Random(17)


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[KafkaServer]:
    with real_kafka(tmp_path / "kafka") as server:
        ensure_topics(server.bootstrap_servers, ("1m",))
        yield server


def bar(number: int, symbol: str = "BTCUSDC", **fields: Any) -> dict[str, Any]:
    close = 100 + number * 7919 % 37 / 10
    return dict(
        kline(
            symbol=symbol,
            open_time_ms=START_MS + number * 60_000,
            high=f"{close + 1.5:.8f}",
            low=f"{close - 1.25:.8f}",
            close=f"{close:.8f}",
            base_volume=f"{number * 31 % 17 + 1}.50000000",
            first_trade_id=number * 100,
            last_trade_id=number * 100 + 99,
            **fields,
        )
    )


def bars(first: int, last: int, symbols: Sequence[str] = SYMBOLS) -> list[tuple[str, bytes, Any]]:
    return [
        (klines_topic("1m"), f"binance:{symbol}".encode(), bar(number, symbol))
        for number in range(first, last)
        for symbol in symbols
    ]


def updates(number: int, last_ids: Sequence[int]) -> list[tuple[str, bytes, Any]]:
    """The exchange's updates of an open bar."""
    return [
        (
            klines_live_topic("1m"),
            KEY,
            bar(number, closed=False, event_time_ms=START_MS + number * 60_000 + position * 1_000)
            | {"last_trade_id": last_id},
        )
        for position, last_id in enumerate(last_ids)
    ]


def trades(first: int, last: int, symbol: str = "BTCUSDC") -> list[tuple[str, bytes, Any]]:
    return [
        (
            TRADES,
            f"binance:{symbol}".encode(),
            trade(
                symbol=symbol,
                trade_id=number,
                trade_time_ms=START_MS + number * 250,
                price=f"{100 + number % 7}.10000000",
                quantity=f"0.{number % 9 + 1}0000000",
                buyer_is_maker=number % 3 == 0,
            ),
        )
        for number in range(first, last)
    ]


def stored(path: Path, series: LiveSeries, columns: Sequence[str]) -> dict[int, tuple[Any, ...]]:
    measurement = MEASUREMENTS[series.name]
    tags = dict(zip(measurement.tags, series.tags, strict=True))
    reader = SqliteReader(path)
    return {
        int(row["time_ns"] or 0): tuple(row.get(name) for name in columns)
        for row in reader.read(series.name, tags)
    }


def columns_of(name: str) -> list[str]:
    if name.startswith("indicator"):
        return list(indicator_set().columns)
    return [column.name for column in MEASUREMENTS[name].columns]


def store_bars(server: KafkaServer, path: Path, count: int) -> None:
    """Let the consumer store what is on the topic, and its state."""
    with consuming(server.bootstrap_servers, path, "--stream", "klines", "--intervals", "1m") as run:
        until(lambda: rows(path, "select count(*) from kline") == [(count,)], f"{count} stored bars")
        assert run.stop()[0] == 0


@pytest.mark.parametrize("short", [fill_bars.SHORT, 0], ids=["replayed", "from the state"])
def test_bars_and_indicators_are_those_that_the_consumer_stores(
    kafka: KafkaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: int
) -> None:
    monkeypatch.setattr(fill_bars, "SHORT", short)
    path = tmp_path / "store.sqlite"
    publish(kafka.bootstrap_servers, bars(0, 300))
    store_bars(kafka, path, 900)
    publish(kafka.bootstrap_servers, bars(300, 320) + updates(320, [32_000]))
    klines, indicators = LiveSeries("kline", BARS), LiveSeries("indicator", BARS)
    live = LiveSeries("indicator_live", BARS)
    with viewing(kafka.bootstrap_servers, store=path) as (taps, viewer):
        taps.activate(klines)
        viewer.await_filled(klines, indicators, live)
        assert len(viewer.filled(live)[0].rows) == 1
        publish(kafka.bootstrap_servers, bars(320, 400))
        until(lambda: len(viewer.rows(indicators)) == 400, "all indicators")
        (filled,) = viewer.filled(indicators)
        assert filled.holes == () and filled.source is not None and len(filled.source.epoch) == 6
        store_bars(kafka, path, 1_200)
        for series in (klines, indicators):
            assert viewer.values(series) == stored(path, series, columns_of(series.name))
            offsets = [row.offset for row in viewer.rows(series)]
            assert offsets == sorted(set(offsets)), "each record once, in order"


def test_indicators_that_cannot_be_had_are_a_hole(
    kafka: KafkaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_bars, "SHORT", 0)
    path = tmp_path / "store.sqlite"
    publish(kafka.bootstrap_servers, bars(0, 100))
    store_bars(kafka, path, 300)
    publish(kafka.bootstrap_servers, bars(100, 110))
    klines, indicators = LiveSeries("kline", BARS), LiveSeries("indicator", BARS)
    with viewing(kafka.bootstrap_servers) as (taps, viewer):
        taps.activate(indicators)
        viewer.await_filled(klines, indicators)
        (filled,) = viewer.filled(indicators)
        (hole,) = filled.holes
        assert (hole.from_ms, hole.to_ms) == (START_MS, START_MS + 100 * 60_000)
        assert "the store does not answer" in hole.cause
        assert len(viewer.rows(klines)) == 110 and len(filled.rows) == 10
        store_bars(kafka, path, 330)
        assert viewer.values(indicators).items() <= stored(path, indicators, columns_of("indicator")).items()
        taps.fetch(1, klines, 0)
        answer = until(lambda: viewer.fetched(1), "older bars")
        assert [row.values for row in answer.rows] == [row.values for row in viewer.rows(klines)]
        taps.fetch(2, indicators, 0)
        assert until(lambda: viewer.fetched(2), "an answer").rows is None


def test_trades_their_sums_books_and_quotes_are_those_that_the_consumers_store(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    path = tmp_path / "store.sqlite"
    at = [(START_MS + number * 700) for number in range(40)]
    publish(
        kafka.bootstrap_servers,
        trades(0, 500)
        + trades(0, 50, "ETHUSDC")
        + [
            (
                BOOK,
                KEY,
                book(event_time_ms=ms, update_id=n, synced=n % 7 != 0, bids=[[f"{90 + n}.5", "2.25"]]),
            )
            for n, ms in enumerate(at)
        ]
        + [(QUOTES, KEY, quote(received_time_ms=ms, update_id=n)) for n, ms in enumerate(at)],
    )
    series = [
        LiveSeries("trade", BTC),
        LiveSeries("trade_summary", (*BTC, "1s")),
        LiveSeries("trade_summary", (*BTC, "1m")),
        LiveSeries("book", BTC),
    ]
    quotes, levels = LiveSeries("quote", BTC), LiveSeries("levels", BTC)
    with viewing(kafka.bootstrap_servers) as (taps, viewer):
        for one in (*series, quotes, levels):
            taps.activate(one)
        viewer.await_filled(*series, quotes, levels)
        publish(kafka.bootstrap_servers, trades(500, 900))
        until(lambda: len(viewer.rows(series[0])) == 900, "all trades")
        streams = ("trades", "book", "quotes")
        arguments = [part for name in streams for part in ("--stream", name)]
        with consuming(kafka.bootstrap_servers, path, *arguments) as run:
            until(lambda: rows(path, "select count(*) from trade") == [(950,)], "stored trades")
            until(lambda: rows(path, "select count(*) from book") == [(40,)], "stored books")
            until(lambda: rows(path, "select count(*) from quote") == [(40,)], "stored quotes")
            run.stop()
        for one in series:
            assert viewer.values(one) == stored(path, one, columns_of(one.name)), one
        newest = viewer.rows(quotes)[-1]
        assert newest.values == stored(path, quotes, columns_of("quote"))[newest.time_ns]
        assert viewer.newest(levels) == (39, True, [(129.5, 2.25)], [(101.0, 2.0)])


def test_a_seam_under_load_neither_loses_nor_doubles_a_row(kafka: KafkaServer) -> None:
    address = kafka.bootstrap_servers
    series = LiveSeries("trade", BTC)
    began, done = threading.Event(), threading.Event()

    def load() -> None:
        producer = Producer(producer_config(address, "test"))
        for topic, key, message in trades(0, 20_000):
            producer.produce(topic, key=key, value=orjson.dumps(message))
            if message["trade_id"] % 100 == 0:
                producer.flush(30)
                began.set()
        assert producer.flush(30) == 0
        done.set()

    loader = threading.Thread(target=load)
    loader.start()
    try:
        with viewing(address) as (taps, viewer):
            assert began.wait(60)
            taps.activate(series)
            viewer.await_filled(series)
            assert done.wait(120)
            until(lambda: viewer.newest(series)[0] == 19_999, "the last trade")
            ids = viewer.column(series, 0)
            assert ids == list(range(ids[0], 20_000))
    finally:
        loader.join()


def test_the_open_bar_moves_with_each_trade(kafka: KafkaServer) -> None:
    address = kafka.bootstrap_servers
    open_bar, live = LiveSeries("open_bar", BARS), LiveSeries("kline_live", BARS)
    # Four trades a second: bar 2 has the trades 480 to 719.
    publish(address, updates(2, [500]) + trades(0, 500))
    with viewing(address) as (taps, viewer):
        taps.activate(open_bar)
        viewer.await_filled(open_bar, live, LiveSeries("trade", BTC))
        before = viewer.newest(live)
        assert viewer.filled(open_bar)[0].rows[0].values == before
        publish(address, trades(500, 504))
        until(lambda: viewer.newest(open_bar)[8] == before[8] + 3, "trades 501 to 503 in the bar")
        publish(address, trades(505, 506))
        publish(address, updates(3, [720]))
        until(lambda: viewer.rows(open_bar)[-1].time_ns // 10**6 == START_MS + 3 * 60_000, "the next bar")
        assert viewer.values(open_bar)[(START_MS + 120_000) * 10**6][8] == before[8] + 3, "504 is missing"


def test_records_of_other_keys_are_not_decoded_and_bad_ones_are_counted(kafka: KafkaServer) -> None:
    address = kafka.bootstrap_servers
    series = LiveSeries("trade", BTC)
    with viewing(address) as (taps, viewer):
        taps.activate(series)
        viewer.await_filled(series)
        publish(address, [(TRADES, b"binance:OTHER", b"not JSON"), (TRADES, KEY, b"not JSON"), *trades(0, 1)])
        until(lambda: len(viewer.rows(series)) == 1, "the good trade")
        assert taps.bad.count == 1


def test_a_broker_that_was_away_comes_back_with_nothing_lost(kafka: KafkaServer) -> None:
    address = kafka.bootstrap_servers
    series = LiveSeries("kline", BARS)
    publish(address, bars(0, 10))
    with viewing(address) as (taps, viewer):
        taps.activate(series)
        viewer.await_filled(series)
        kafka.kill()
        until(lambda: viewer.conditions() and viewer.conditions()[-1], "the news that the broker is away")
        kafka.restart()
        publish(address, bars(10, 20))
        until(lambda: viewer.conditions()[-1] is None, "the news that it is back")
        until(lambda: len(viewer.values(series)) == 20, "the bars since")
        assert len(viewer.rows(series)) == 20


def test_a_topic_that_is_made_anew_begins_the_series_anew(kafka: KafkaServer) -> None:
    address = kafka.bootstrap_servers
    series = LiveSeries("trade", BTC)
    publish(address, trades(0, 100))
    with viewing(address) as (taps, viewer):
        taps.activate(series)
        viewer.await_filled(series)
        admin = admin_of(address)
        admin.delete_topics([TRADES])[TRADES].result(30)
        until(lambda: not incarnations_of(address, [TRADES], memory_broker=False), "the end of the topic")
        admin.create_topics([NewTopic(TRADES, 6, 1)])[TRADES].result(30)
        publish(address, trades(1_000, 1_200))
        until(lambda: len(viewer.filled(series)) > 1, "the series anew")
        until(lambda: viewer.column(series, 0) == list(range(1_000, 1_200)), "its rows")
        sources = {filled.source for filled in viewer.filled(series)}
        assert len({source.epoch for source in sources if source}) == 2


def test_the_ledger_and_the_services_are_there_from_the_start(kafka: KafkaServer, tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    address = kafka.bootstrap_servers
    series = LiveSeries("ledger", (*BTC, "trades", ""))

    def minute(number: int) -> list[tuple[str, bytes, Any]]:
        first = number * 10 + 1
        told = {
            "first": first,
            "last": first + 9,
            "event_time_ms": START_MS + number * 60_000,
            "received_time_ms": int(time.time() * 1_000),
        }
        return [(LEDGER, KEY, ledger(kind=kind, **told)) for kind in ("expected", "stored")]

    publish(address, [record for number in range(5) for record in minute(number)])
    with consuming(address, path, "--stream", "ledger") as run:
        until(lambda: rows(path, "select count(*) from ledger") == [(5,)], "stored rows")
        assert run.stop()[0] == 0
        # The snapshots that the stop left have all events: what was written is not due again.
        with viewing(address) as (_, viewer):
            viewer.await_filled(series)
            assert viewer.values(series) == stored(path, series, columns_of("ledger"))
            publish(address, minute(5))
            until(lambda: len(viewer.values(series)) == 6, "the row of the sixth minute")
            told = [filled.series for filled in viewer.of(Filled) if filled.series.name == "service"]
            services = [series for series in told if any(series.tags)]  # without: the kind as a whole
            assert [tags[0] for _, tags in services] == ["consumer-ledger"]


def test_on_the_memory_broker_bars_continue_those_of_the_store(tmp_path: Path) -> None:
    broker = MemoryBroker("as the test asks", ("1m",))
    klines, indicators = LiveSeries("kline", BARS), LiveSeries("indicator", BARS)
    enricher = KlineEnricher("1m", indicator_set(), live_interval_ms=0)
    told = [(0, number, bar(number)) for number in range(120)]
    points = enricher.receive(told[:50], 0).points
    path = tmp_path / "store.sqlite"
    store = SqliteStore(path)
    store.write(points)
    expected = {
        point.time_ns: as_stored(point.values)
        for point in enricher.receive(told[50:], 0).points
        if point.series.measurement.name == "indicator"
    }
    try:
        publish(broker.address, bars(50, 100))
        with viewing(broker.address, store=path, memory=True, rebuild=True) as (taps, viewer):
            taps.activate(indicators)
            viewer.await_filled(klines, indicators, LiveSeries("open_bar", BARS))
            publish(broker.address, bars(100, 120))
            until(lambda: len(viewer.rows(indicators)) == 70, "all indicators")
            assert viewer.values(indicators) == expected
    finally:
        store.close()
        broker.stop()


def test_an_unexpected_error_ends_the_process_instead_of_the_thread(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = kafka.bootstrap_servers
    series = LiveSeries("trade", BTC)
    viewer = Viewer()
    taps = taps_for(address, viewer)
    taps.start()
    try:
        taps.activate(series)
        viewer.await_filled(series)
        monkeypatch.setattr(TradeTap, "receive", lambda *_: 1 / 0)
        publish(address, trades(0, 1))
        until(lambda: viewer.failures, "the failure")
        assert isinstance(viewer.failures[0], ZeroDivisionError)
    finally:
        taps.close()
