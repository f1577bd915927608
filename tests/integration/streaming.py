"""Streams of records, what they must end as in the store, and consumers that run in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from confluent_kafka import Consumer, Producer, TopicPartition

from consumers.assembly import Assembly
from consumers.enrich.port import Enricher, Known
from consumers.indicators.registry import indicator_set
from consumers.service import StreamConsumer
from consumers.stores.influxdb import InfluxStore
from consumers.stores.influxdb_reader import InfluxReader
from consumers.stores.port import Store
from consumers.streams import Stream, enricher_of, streams
from cryptostream.engines.influxdb import InfluxServer
from shared.intervals import interval_ms
from shared.messages import encode
from shared.metrics import ServiceMetrics
from shared.settings import Settings
from shared.topics import TRADES, klines_topic
from tests.builders import kline, trade
from tests.integration.kafka_answers import ends
from tests.simulation.store import MemoryStore

Sent = tuple[str, bytes, Any]  # topic, key, message
Exported = dict[tuple[str, tuple[str, ...], int], dict[str, Any]]


def trades(symbols: Sequence[str], count: int, start_ms: int, first: int = 0) -> list[Sent]:
    """Trades `first` to `count` of each symbol, twenty a second, in the order of their time."""
    return [
        (
            TRADES,
            f"binance:{symbol}".encode(),
            trade(
                symbol=symbol,
                trade_id=n,
                trade_time_ms=start_ms + n * 50,
                price=f"{100 + n % 7}.10000000",
                quantity=f"0.{n % 9 + 1}0000000",
                buyer_is_maker=n % 3 == 0,
            ),
        )
        for n in range(first, count)
        for symbol in symbols
    ]


def bars(symbols: Sequence[str], interval: str, count: int, start_ms: int) -> list[Sent]:
    length_ms = interval_ms(interval)
    return [
        (
            klines_topic(interval),
            f"binance:{symbol}".encode(),
            kline(
                symbol=symbol,
                interval=interval,
                open_time_ms=start_ms + n * length_ms,
                close_time_ms=start_ms + (n + 1) * length_ms - 1,
                close=f"{100 + (n * 7919 % 20) / 10:.8f}",
                base_volume=f"{n * 31 % 17 + 1}.50000000",
            ),
        )
        for n in range(count)
        for symbol in symbols
    ]


def undisturbed(records: Sequence[Sent], intervals: Sequence[str] = ()) -> Exported:
    """What the pure part makes of the records: no Kafka, no crash, one batch."""
    store = MemoryStore(ticks_expiry_ns=None)
    for stream in streams(("klines", "trades"), intervals, memory_broker=False):
        batch = [(0, n, message) for n, (topic, _, message) in enumerate(records) if topic == stream.topic]
        enricher = _enricher(stream)
        enricher.assign(0, Known(0, 0))
        store.write(enricher.receive(batch, 0).points)
    return store.rows


def _enricher(stream: Stream) -> Enricher:
    return enricher_of(stream, _INDICATORS, live_interval_ms=0, rebuilt_from_store=False)


_INDICATORS = indicator_set(("all",))
_MEASURED = ("trade", "trade_summary", "kline", "indicator")


def exported(settings: Settings, symbols: Sequence[str]) -> Exported:
    """Everything that the store has of these symbols, in the form of `undisturbed`."""
    reader = InfluxReader(settings)
    found: Exported = {}
    for measurement in _MEASURED:
        tags = ("exchange", "symbol") if measurement == "trade" else ("exchange", "symbol", "interval")
        for symbol in symbols:
            for row in reader.read(measurement, {"symbol": symbol}):
                key = (measurement, tuple(str(row[tag]) for tag in tags), cast(int, row["time_ns"]))
                found[key] = {
                    name: value
                    for name, value in row.items()
                    if name not in (*tags, "time_ns") and value is not None
                }
    reader.close()
    return found


def count(settings: Settings, measurement: str, symbols: Sequence[str]) -> int:
    reader = InfluxReader(settings)
    rows = sum(1 for symbol in symbols for _ in reader.read(measurement, {"symbol": symbol}))
    reader.close()
    return rows


def influx_settings(bootstrap_servers: str, server: InfluxServer, **fields: Any) -> Settings:
    return Settings(
        _env_file=None,
        kafka_bootstrap_servers=bootstrap_servers,
        store="influxdb",
        **{"influx_url": server.url, "influx_org": server.org, "influx_token": server.token, **fields},
    )


def environment(settings: Settings) -> dict[str, str]:
    """The same settings for a process."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "STORE": "influxdb",
        "INFLUX_URL": settings.influx_url,
        "INFLUX_ORG": settings.influx_org,
        "INFLUX_TOKEN": settings.influx_token.get_secret_value(),
    }


class RunningConsumer:
    """One stream's consumer in a thread; what it died of is raised where it is waited for."""

    def __init__(self, settings: Settings, stream: Stream, store: Store) -> None:
        self._stream = stream
        self._broker = settings.kafka_bootstrap_servers
        self._stop = threading.Event()
        assembly = Assembly(settings, _INDICATORS, lambda: InfluxReader(settings))
        self.service: StreamConsumer = assembly.consumer(
            stream,
            self._stop,
            producer=assembly.producer(),
            store=store,
            metrics=ServiceMetrics(stream.service),
        )
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.service.run()
        except BaseException as error:  # noqa: BLE001 - raised by `stop`
            self.failure = error

    def positions(self) -> dict[int, int]:
        """Partitions of the stream's topic that it holds, and its place in each."""
        return dict(self.service._positions[self._stream.topic])

    def read_up(self) -> bool:
        """Whether it has read to the end of all its partitions."""
        looking = Consumer({"bootstrap.servers": self._broker, "group.id": "test-ends"})
        try:
            positions = self.positions()
            highs = ends(looking, [TopicPartition(self._stream.topic, number) for number in positions])
            # Before the group has given it any there is nothing that it could have read.
            return bool(positions) and all(at >= highs[number] for number, at in positions.items())
        finally:
            looking.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure


@contextmanager
def running(
    settings: Settings, name: str = "trades", wrap: Callable[[Store], Store] = lambda store: store
) -> Iterator[RunningConsumer]:
    """A consumer of one stream with an InfluxStore of its own."""
    (stream,) = streams((name,), ("1m",), memory_broker=False)
    store = InfluxStore(settings)
    consumer = RunningConsumer(settings, stream, wrap(store))
    try:
        yield consumer
    finally:
        consumer.stop()
        store.close()


def send(producer: Producer, records: Sequence[Sent]) -> None:
    """Publish, and wait for the acknowledgement."""
    for topic, key, message in records:
        producer.produce(topic, key=key, value=message if isinstance(message, bytes) else encode(message))
        producer.poll(0)
    assert producer.flush(60) == 0
