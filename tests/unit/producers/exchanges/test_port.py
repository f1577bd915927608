"""A fourth exchange, put in by one folder and one line: generic code carries it as it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from cryptostream.dead_letters.classify import Classifier
from cryptostream.dead_letters.dead_letter_topic import DeadLetter, Position
from cryptostream.dead_letters.outcomes import Republish, StillBroken
from cryptostream.doctor.exchange import checks
from cryptostream.run.broker import MemoryBroker
from producers.assignment import Assignment
from producers.exchanges.registry import EXCHANGES
from producers.service import ProducerService
from shared.dead_letters import Origin
from shared.kafka import consumer_config
from shared.markets import NOTATIONS, Notation
from shared.settings import Settings, load_settings
from shared.topics import DEAD_LETTERS, TRADES
from tests.builders import NOW_MS
from tests.unit.producers.exchanges.toy import ISSUED, NAMED, TOY, issue

PATIENCE_S = 30.0
FIRST, LAST = 10, 60


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(EXCHANGES, "toy", TOY)
    monkeypatch.setitem(NOTATIONS, "toy", Notation("a pair of Toy", "/", ("T/USD",)))
    yield
    ISSUED.clear()
    NAMED.clear()


def settings_of(**fields: Any) -> Settings:
    return load_settings(symbols="T-USD").model_copy(
        update={"exchange": "toy", "symbols": ("T/USD",)} | fields
    )


class Streams:
    """Its WebSocket server: withholds one trade, sends one that breaks the contract."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def serve(self, connection: ServerConnection) -> None:
        self.asked.append(orjson.loads(await connection.recv()))
        with suppress(ConnectionClosed):
            while not NAMED:  # noqa: ASYNC110 -- what was issued before is none of the producer's business
                await asyncio.sleep(0.01)
            while len(ISSUED) < LAST:
                first, withheld, *others = issue(5)
                await connection.send(orjson.dumps([first, [*withheld[:1], "a lot", *withheld[2:]], *others]))
                await connection.send(b'"alive"')
                await asyncio.sleep(0.05)
            while True:
                await connection.send(b'"alive"')
                await asyncio.sleep(0.2)


async def carried(broker: MemoryBroker, streams: Streams) -> tuple[list[Any], list[Any]]:
    """The records of trades up to the last one, and of dead letters."""
    async with serve(streams.serve, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = settings_of(binance_ws_url=url, kafka_bootstrap_servers=broker.address)
        service = ProducerService(settings, Assignment(("T/USD",), ("1m",), memory_broker=True))
        running = asyncio.create_task(service.run())
        trades = await asyncio.to_thread(read, broker.address, TRADES, LAST - FIRST)
        letters = await asyncio.to_thread(read, broker.address, DEAD_LETTERS, 1)
        service._stop.set()
        assert await asyncio.wait_for(running, PATIENCE_S) == 0
    return trades, letters


def read(address: str, topic: str, count: int) -> list[Any]:
    consumer = Consumer(consumer_config(address, topic, "test", memory_broker=True))
    # No group has to be formed for this.
    partitions = consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    found: list[Any] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < deadline:
        found += [record for record in consumer.consume(count, timeout=0.2) if record.error() is None]
    consumer.close()
    assert len(found) >= count, f"{len(found)} of {count} records of {topic}"
    return found


@pytest.mark.thorough
def test_a_producer_carries_an_exchange_with_trades_alone_and_repairs_them() -> None:
    broker, streams = MemoryBroker("", []), Streams()
    issue(FIRST)  # before anyone listens
    try:
        trades, letters = asyncio.run(carried(broker, streams))
    finally:
        broker.stop()
    assert streams.asked == [{"subscribe": ["T/USD"]}]
    ids = [orjson.loads(record.value())["trade_id"] for record in trades]
    assert sorted(ids) == list(range(FIRST + 1, LAST + 1))
    assert {record.key() for record in trades} == {b"toy:T/USD"}
    assert letters[0].key() == b"toy:T/USD"


def test_doctor_asks_it() -> None:
    async def look() -> list[Any]:
        async with serve(Streams().serve, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            rest, symbols, history, stream = checks(settings_of(binance_ws_url=url))
            NAMED.append(0)
            return [
                finding
                for check in (rest, symbols, history, stream)
                for finding in await asyncio.to_thread(check.run)
            ]

    found = asyncio.run(look())
    assert [finding.status for finding in found] == ["ok", "ok", "ok", "warn", "ok"]
    assert found[3].fix == "set TOY_REST_URL"
    assert "trade of T/USD" in found[4].detail


def letter(content: Any, source: str, key: bytes = b"toy:T/USD") -> DeadLetter:
    origin = Origin("why", source, -1, -1, "producer")
    return DeadLetter(Position(0, 0), NOW_MS, key, orjson.dumps(content), origin)


def test_a_frame_with_many_trades_is_replayed_whole() -> None:
    rows = [[at, "1.0", "1.0", False, NOW_MS - 1] for at in (7, 8, 9)]
    outcome = Classifier().classify(letter(rows, "websocket:trades"), NOW_MS)
    assert isinstance(outcome, Republish)
    values = [outcome.value, *(value for _, _, value in outcome.more)]
    assert [orjson.loads(value)["trade_id"] for value in values] == [7, 8, 9]
    assert {outcome[:2], *(record[:2] for record in outcome.more)} == {(TRADES, b"toy:T/USD")}
    assert [event["last"] for event in outcome.events] == [7, 7, 8, 8, 9, 9]
    broken = Classifier().classify(letter([*rows, [10, "x", "1.0", False, 0]], "websocket:trades"), NOW_MS)
    assert isinstance(broken, StillBroken)


def test_a_row_goes_by_the_exchange_of_its_key() -> None:
    row = [7, "1.0", "1.0", False, NOW_MS - 1]
    assert isinstance(Classifier().classify(letter(row, "rest:trades"), NOW_MS), Republish)
    unknown = Classifier().classify(letter(row, "rest:trades", b"moon:T/USD"), NOW_MS)
    assert unknown == StillBroken("its key names no exchange that is known here: moon:T/USD")
