"""A consumer service around fakes of Kafka and the store, run in the test's own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from consumers.enrich.trades import TradeEnricher
from consumers.history import History, NoHistory
from consumers.kafka_writer import KafkaWriter
from consumers.measurements import Point, Value
from consumers.service import Parts, StreamConsumer
from consumers.streams import streams
from consumers.telemetry import Telemetry
from shared.errors import StoreUnavailable
from shared.messages import encode
from shared.metrics import ServiceMetrics
from shared.topics import TRADES
from tests.builders import trade
from tests.kafka_doubles import FakeAdmin, clients
from tests.simulation.store import MemoryStore


class FakeMessage:
    def __init__(self, offset: int, value: bytes, error: KafkaError | None = None) -> None:
        self._offset, self._value, self._error = offset, value, error
        self.epoch = 0

    def error(self) -> KafkaError | None:
        return self._error

    def topic(self) -> str:
        return TRADES

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"binance:BTCUSDC"

    def value(self) -> bytes:
        return self._value

    def leader_epoch(self) -> int:
        return self.epoch


class _Elsewhere(FakeMessage):
    """What the broker acknowledges of our own records: none of them can be lost here."""

    def topic(self) -> str:
        return "elsewhere"


class FakeConsumer:
    """One partition with a log; gives one record a batch unless paused, stops when it is read."""

    def __init__(self, log: Sequence[FakeMessage], stop: threading.Event) -> None:
        self.log, self.stop, self.position = list(log), stop, 0
        self.paused = False
        self.epoch = 0
        self.errors: list[FakeMessage] = []  # to be given next
        self.offset: int | None = None
        self.metadata = ""
        self.commits: list[str] = []  # what was noted with the offsets: "" before anything is stored
        self.on_poll: Callable[[], None] = lambda: None
        self.on_gather: Callable[[], None] = lambda: None  # in the call for the rest of a batch
        self.at_once = 0  # records that come with the next one
        self.calls: list[tuple[int, float]] = []
        self.closed = False
        self._callbacks: dict[str, Any] = {}
        self._assigned = False

    def subscribe(self, topics: Sequence[str], **callbacks: Any) -> None:
        self._callbacks = callbacks

    def consume(self, count: int, timeout: float) -> list[Any]:
        if not self._assigned:
            self._assigned = True
            self._callbacks["on_assign"](self, [TopicPartition(TRADES, 0)])
            return []
        self.calls.append((count, timeout))
        if count > 1:
            self.on_gather()
            more, self.at_once = self.log[self.position : self.position + self.at_once], 0
            self.position += len(more)
            return more
        self.on_poll()
        if self.errors:
            return [self.errors.pop()]
        if self.paused:
            return []
        if self.position >= len(self.log):
            self.stop.set()
            return []
        self.position += 1
        return [self.log[self.position - 1]]

    def revoke(self, *, lost: bool = False) -> None:
        self._assigned = False
        self._callbacks["on_lost" if lost else "on_revoke"](self, [TopicPartition(TRADES, 0)])

    def committed(self, partitions: Any, timeout: float) -> list[TopicPartition]:
        offset = -1001 if self.offset is None else self.offset
        return [TopicPartition(TRADES, 0, offset, self.metadata)]

    def get_watermark_offsets(self, at: Any, timeout: float = 0, cached: bool = False) -> tuple[int, int]:
        return 0, len(self.log)

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        self.position = partitions[0].offset

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        assert {(at.topic, at.partition) for at in partitions} <= {(TRADES, 0)}

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(TRADES, 0)]

    def pause(self, partitions: Any) -> None:
        self.paused = True

    def resume(self, partitions: Any) -> None:
        self.paused = False

    def commit(self, offsets: Sequence[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        self.offset, self.metadata = offsets[0].offset, offsets[0].metadata or ""
        self.commits.append(self.metadata)
        return list(offsets)

    def close(self) -> None:
        if self._assigned:
            self.revoke()
        self.closed = True


class FakeReader:
    """A second consumer, which looks up single records of the log."""

    def __init__(self, kafka: FakeConsumer) -> None:
        self._kafka = kafka
        self._wanted: list[TopicPartition] = []

    def get_watermark_offsets(self, at: TopicPartition, timeout: float = 0) -> tuple[int, int]:
        return (0, len(self._kafka.log)) if at.topic == TRADES else (0, 2**62)

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._wanted = list(partitions)

    def unassign(self) -> None:
        self._wanted = []

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        left = {(at.topic, at.partition) for at in partitions}
        self._wanted = [at for at in self._wanted if (at.topic, at.partition) not in left]

    def consume(self, count: int, timeout: float) -> list[Any]:
        return [self._kafka.log[at.offset] for at in self._wanted if at.topic == TRADES]

    def close(self) -> None:
        """Nothing is open."""


class FakeProducer:
    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self._waiting: list[Any] = []
        self._acknowledged = 0

    def produce(self, topic: str, *, on_delivery: Any, **record: Any) -> None:
        self.sent.append((topic, record))
        self._waiting.append(on_delivery)

    def poll(self, timeout: float) -> int:
        for on_delivery in self._waiting:
            on_delivery(None, _Elsewhere(self._acknowledged, b""))
            self._acknowledged += 1
        self._waiting.clear()
        return 0


class MoodyStore(MemoryStore):
    """Raises what it is told to, before it stores anything; remembers the offset committed at each write."""

    def __init__(self) -> None:
        super().__init__()
        self.moods: list[Exception] = []
        self.writes = 0
        self.kept_ns: int | None = None  # in place of what the points' times say

    @property
    def oldest_kept_ns(self) -> int | None:
        return super().oldest_kept_ns if self.kept_ns is None else self.kept_ns

    def write(self, points: Sequence[Point]) -> Sequence[Point]:
        if points:
            self.writes += 1
            if self.moods:
                raise self.moods.pop(0)
        return super().write(points)

    def ids(self) -> list[Value]:
        return [fields["trade_id"] for fields in self.of("trade").values()]


LOG = [FakeMessage(n, encode(trade(trade_id=n))) for n in range(5)]


class Bench:
    def __init__(
        self,
        log: Sequence[FakeMessage] = LOG,
        config: dict[str, Any] | None = None,
        history: History | None = None,
    ) -> None:
        self.stop = threading.Event()
        self.kafka = FakeConsumer(log, self.stop)
        self.producer = FakeProducer()
        self.store = MoodyStore()
        kafka_writer = KafkaWriter(cast(Producer, self.producer), "consumer-trades")
        metrics = ServiceMetrics("consumer-trades", "0")
        self.health = metrics.health
        parts = Parts(
            stream=streams(("trades",), (), memory_broker=False)[0],
            enricher=TradeEnricher(),
            consumer=cast(Consumer, self.kafka),
            config={"group.id": "cryptostream.trades", "bootstrap.servers": ""} | (config or {}),
            store=self.store,
            kafka_writer=kafka_writer,
            history=history or NoHistory(),
            telemetry=Telemetry(metrics, kafka_writer, self.store, "trades"),
            kafka=clients(
                consumer=lambda _config: FakeReader(self.kafka),
                admin=lambda _config: FakeAdmin(epoch=lambda: self.kafka.epoch),
            ),
        )
        self.service = StreamConsumer(parts, self.stop)

    def of(self, topic: str) -> list[dict[str, Any]]:
        return [record for name, record in self.producer.sent if name == topic]


def down(retry_after: float = 0.0) -> StoreUnavailable:
    return StoreUnavailable("INFLUX_URL: nothing answers", retry_after)
