"""The loop around the pure parts: a store that is down, partitions that are taken away, errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from consumers.enrich.trades import TradeEnricher
from consumers.history import NoHistory
from consumers.outbox import Outbox
from consumers.points import Point
from consumers.service import Parts, StreamConsumer
from consumers.streams import streams
from consumers.telemetry import Telemetry
from shared.errors import BrokerError, BrokerUnavailable, PointsRejected, StoreMisconfigured, StoreUnavailable
from shared.messages import encode
from shared.metrics import ServiceMetrics
from shared.topics import DEAD_LETTERS, LEDGER, TRADES
from tests.builders import trade
from tests.consumer_doubles import MemoryStore


class FakeMessage:
    def __init__(self, offset: int, value: bytes, error: KafkaError | None = None) -> None:
        self._offset, self._value, self._error = offset, value, error

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


class FakeConsumer:
    """One partition with a log; gives one record at a time unless paused, stops when it is read."""

    def __init__(self, log: Sequence[FakeMessage], stop: threading.Event) -> None:
        self.log, self.stop, self.position = list(log), stop, 0
        self.paused = False
        self.offset: int | None = None
        self.metadata = ""
        self.commits: list[str] = []  # what was noted with the offsets: "" before anything is stored
        self.on_poll: Callable[[], None] = lambda: None
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
        self.on_poll()
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
        assert [(at.topic, at.partition) for at in partitions] == [(TRADES, 0)]

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


class FakeProducer:
    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self._waiting: list[Any] = []

    def produce(self, topic: str, *, on_delivery: Any, **record: Any) -> None:
        self.sent.append((topic, record))
        self._waiting.append(on_delivery)

    def poll(self, timeout: float) -> int:
        for on_delivery in self._waiting:
            on_delivery(None, None)
        self._waiting.clear()
        return 0


class MoodyStore(MemoryStore):
    """Raises what it is told to, before it stores anything; remembers the offset committed at each write."""

    def __init__(self) -> None:
        super().__init__()
        self.moods: list[Exception] = []
        self.writes = 0

    def write(self, points: Sequence[Point]) -> None:
        if points:
            self.writes += 1
            if self.moods:
                raise self.moods.pop(0)
        super().write(points)

    def ids(self) -> list[int]:
        return [values[0] for values in self.of("trade").values()]


LOG = [FakeMessage(n, encode(trade(trade_id=n))) for n in range(5)]  # type: ignore[arg-type]


class Bench:
    def __init__(self, log: Sequence[FakeMessage] = LOG) -> None:
        self.stop = threading.Event()
        self.kafka = FakeConsumer(log, self.stop)
        self.producer = FakeProducer()
        self.store = MoodyStore()
        outbox = Outbox(self.producer, "consumer-trades")  # type: ignore[arg-type]
        metrics = ServiceMetrics("consumer-trades", "0")
        self.health = metrics.health
        parts = Parts(
            stream=streams(("trades",), (), memory_broker=False)[0],
            enricher=TradeEnricher(),
            consumer=self.kafka,  # type: ignore[arg-type]
            config={},
            store=self.store,
            outbox=outbox,
            history=NoHistory(),
            telemetry=Telemetry(metrics, outbox, self.store, "trades"),
        )
        self.service = StreamConsumer(parts, self.stop)

    def of(self, topic: str) -> list[dict[str, Any]]:
        return [record for name, record in self.producer.sent if name == topic]


def down(retry_after: float = 0.0) -> StoreUnavailable:
    return StoreUnavailable("INFLUX_URL: nothing answers", retry_after)


def test_everything_is_stored_and_committed_at_the_stop() -> None:
    bench = Bench()
    bench.service.run()
    assert bench.store.ids() == [0, 1, 2, 3, 4]
    # All trades lie in one open minute, whose sums a restart has to read again.
    assert bench.kafka.offset == 0
    assert bench.kafka.commits[-1].endswith("read=5")
    assert bench.kafka.closed


def test_the_next_batch_is_read_while_one_is_written_and_no_further_one() -> None:
    bench = Bench()
    store, written = bench.store.write, threading.Event()
    seen: list[tuple[int, int]] = []

    def slow(points: Sequence[Point]) -> None:
        if points and not written.is_set():
            # The one being written and the next are read; whoever waited for a third would see no end.
            while bench.kafka.position < 2:
                time.sleep(0.001)
            time.sleep(0.05)
            seen.append((bench.kafka.position, len(bench.store.ids())))
            written.set()
        store(points)

    bench.store.write = slow  # type: ignore[method-assign]
    bench.service.run()
    assert seen == [(2, 0)]
    assert bench.store.ids() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("revoked_at", [2, 3, 4, None])
def test_no_offset_is_committed_before_its_points_are_stored(
    revoked_at: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.service.CHECKPOINT_PERIOD_S", 0.0)
    bench = Bench()
    store, commit = bench.store.write, bench.kafka.commit
    seen: list[tuple[int, int]] = []

    def slow(points: Sequence[Point]) -> None:
        time.sleep(0.01)
        store(points)

    def noted(offsets: Sequence[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        read = (offsets[0].metadata or "read=0").rpartition("read=")[2]
        seen.append((int(read), len(bench.store.ids())))
        return commit(offsets, asynchronous)

    def revoke() -> None:
        if bench.kafka.position == revoked_at:
            bench.kafka.on_poll = lambda: None
            bench.kafka.revoke()
            # What was on its way has arrived, and goes with the partition.
            assert seen[-1] == (revoked_at, revoked_at)

    bench.store.write, bench.kafka.commit = slow, noted  # type: ignore[method-assign]
    bench.kafka.on_poll = revoke
    bench.service.run()
    assert all(read <= stored for read, stored in seen), seen
    assert seen[-1] == (5, 5)


def test_partitions_taken_away_while_a_write_is_about_to_fail_are_not_committed() -> None:
    bench = Bench()
    store = bench.store.write

    def failing(points: Sequence[Point]) -> None:
        if points:
            bench.store.write = store  # type: ignore[method-assign]
            time.sleep(0.05)
            raise down()
        store(points)

    def taken() -> None:
        if bench.kafka.position == 1:
            bench.kafka.on_poll = lambda: None
            bench.kafka.revoke()
            assert set(bench.kafka.commits) <= {""}

    bench.store.write = failing  # type: ignore[method-assign]
    bench.kafka.on_poll = taken
    bench.service.run()
    assert bench.store.ids() == [0, 1, 2, 3, 4]


def test_a_store_that_is_down_pauses_and_the_same_points_are_tried_again() -> None:
    bench = Bench()
    bench.store.moods = [down(), down(0.01)]
    seen: list[bool] = []
    bench.kafka.on_poll = lambda: seen.append(bench.kafka.paused)
    bench.service.run()
    assert any(seen)
    assert not bench.kafka.paused
    assert bench.store.ids() == [0, 1, 2, 3, 4]


def test_a_consumer_is_not_ready_while_its_store_is_down_and_says_why() -> None:
    bench = Bench()
    bench.store.moods = [down(), down(0.01)]
    seen: list[tuple[bool, list[str]]] = []
    bench.kafka.on_poll = lambda: seen.append((bench.kafka.paused, bench.health.troubles()))
    bench.service.run()
    paused = [troubles for away, troubles in seen if away]
    assert paused
    assert all(troubles[0].startswith("store: ") for troubles in paused)
    assert bench.health.troubles() == []
    assert bench.health.hanging() is None


def test_partitions_taken_away_while_the_store_is_down_are_not_committed() -> None:
    bench = Bench()
    bench.store.moods = [down(5.0)]

    def taken() -> None:
        if bench.kafka.paused:
            bench.kafka.on_poll = lambda: None
            bench.kafka.revoke()
            assert set(bench.kafka.commits) == {""}

    bench.kafka.on_poll = taken
    bench.service.run()
    # They came back, and were read again from the beginning.
    assert bench.store.ids() == [0, 1, 2, 3, 4]


def test_points_in_hand_are_not_written_after_their_partitions_were_taken_away() -> None:
    """Taken away in the last poll of the wait, with the store up again: its next owner has newer sums."""
    bench = Bench()
    bench.store.moods = [down(0.01)]

    def taken() -> None:
        if bench.kafka.paused:
            time.sleep(0.02)  # longer than the whole wait
            bench.kafka.on_poll = lambda: None
            writes.append(bench.store.writes)
            bench.kafka.revoke()

    writes: list[int] = []
    bench.kafka.on_poll = taken
    bench.service.run()
    # Written next is what was read again: one record, one write, for each of the five.
    assert bench.store.writes == writes[0] + 5
    assert bench.store.ids() == [0, 1, 2, 3, 4]


def test_a_stop_while_the_store_is_down_commits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.service.STOP_STORE_S", 0.05)
    bench = Bench()
    bench.store.moods = [down(0.02) for _ in range(1000)]
    bench.kafka.on_poll = lambda: bench.stop.set() if bench.kafka.paused else None
    bench.service.run()
    assert set(bench.kafka.commits) == {""}
    assert bench.kafka.closed


@pytest.mark.parametrize("error", [StoreMisconfigured("INFLUX_TOKEN: refused"), ZeroDivisionError()])
def test_an_error_ends_the_service_and_commits_nothing(error: Exception) -> None:
    bench = Bench()
    bench.store.moods = [error]
    with pytest.raises(type(error)):
        bench.service.run()
    assert set(bench.kafka.commits) == {""}
    assert bench.kafka.closed


def test_rejected_points_are_dead_letters_and_are_not_counted_as_stored() -> None:
    bench = Bench()
    enricher = TradeEnricher()
    point = enricher.receive([(0, 0, trade(trade_id=0))], 0).points[0]
    bench.store.moods = [PointsRejected([(point, "field type conflict")])]
    bench.service.run()
    (letter,) = bench.of(DEAD_LETTERS)
    assert b'"measurement":"trade"' in letter["value"]
    assert b'"trade_id":0' in letter["value"]
    assert ("reason", b"field type conflict") in letter["headers"]
    (event,) = [record["value"] for record in bench.of(LEDGER)]
    assert b'"kind":"stored","first":1,"last":4,"count":4' in event


def test_a_bad_message_is_a_dead_letter_and_the_rest_goes_on() -> None:
    bench = Bench([LOG[0], FakeMessage(1, b"{"), LOG[2]])
    bench.service.run()
    assert bench.store.ids() == [0, 2]
    (letter,) = bench.of(DEAD_LETTERS)
    assert (letter["key"], letter["value"]) == (b"binance:BTCUSDC", b"{")
    assert ("source_offset", b"1") in letter["headers"]


def test_partitions_that_are_lost_are_not_committed() -> None:
    bench = Bench()

    def lose() -> None:
        if bench.kafka.position == 3:
            bench.kafka.on_poll = lambda: None
            bench.kafka.commits.clear()
            bench.kafka.revoke(lost=True)
            assert bench.kafka.commits == []

    bench.kafka.on_poll = lose
    bench.service.run()
    assert bench.store.ids() == [0, 1, 2, 3, 4]


def test_what_fails_in_a_callback_is_raised_by_the_loop_and_commits_nothing() -> None:
    bench = Bench()
    calls: list[str] = []

    def silent(partitions: Any, timeout: float) -> list[TopicPartition]:
        calls.append("committed")
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def consume(count: int, timeout: float) -> list[Any]:
        # As librdkafka does it: the assignment fails, and is taken away before the call returns. A
        # callback that lets its error through leaves the second one to run with it pending.
        bench.kafka._callbacks["on_assign"](bench.kafka, [TopicPartition(TRADES, 0)])
        bench.kafka.revoke(lost=True)
        calls.append("returned")
        return []

    bench.kafka.committed, bench.kafka.consume = silent, consume  # type: ignore[method-assign]
    with pytest.raises(BrokerUnavailable, match="Kafka does not tell offsets"):
        bench.service.run()
    assert calls == ["committed", "returned"]
    assert bench.kafka.commits == []
    assert bench.kafka.closed


def test_a_fatal_broker_error_is_raised_and_a_passing_one_is_not() -> None:
    passing = FakeMessage(0, b"", KafkaError(KafkaError._ALL_BROKERS_DOWN))
    bench = Bench([passing, LOG[1]])
    bench.service.run()
    assert bench.store.ids() == [1]
    fatal = FakeMessage(0, b"", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(BrokerError, match="trades"):
        Bench([fatal]).service.run()
