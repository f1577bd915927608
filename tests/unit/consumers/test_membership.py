"""Members of a group that are fenced come back by themselves, unless another process has their slot."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from consumers.backoff import Backoff
from consumers.membership import MOST_TAKEN, WITHIN_S, Rejoining, slot_taken
from consumers.points import Point
from consumers.process import ConsumerProcess, _StreamThread
from consumers.streams import streams
from shared.errors import BrokerError, BrokerUnavailable, SlotTaken
from shared.metrics import ServiceMetrics
from tests.unit.consumers.service_bench import LOG, Bench, FakeMessage

SLOT = {"group.instance.id": "consumer-trades-0"}
FENCED = KafkaError(KafkaError._FATAL, "Static consumer fenced by other consumer", fatal=True)
TAKEN = SlotTaken("consumer-trades-0", "fenced")


def test_only_a_static_member_can_lose_a_slot() -> None:
    assert slot_taken(FENCED, None) is None
    assert slot_taken(KafkaError(KafkaError._ALL_BROKERS_DOWN), "a-0") is None
    for code in (KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID):
        taken = slot_taken(KafkaError(code), "a-0")
        assert taken is not None
        assert taken.slot == "a-0"


def test_a_slot_that_is_taken_now_and_then_is_taken_back_for_ever() -> None:
    rejoining = Rejoining()
    for hour in range(100):
        assert rejoining.delay_s(TAKEN, hour * 3600.0) < 5.0


def test_a_slot_that_is_taken_again_and_again_has_another_holder() -> None:
    rejoining = Rejoining()
    delays = [rejoining.delay_s(TAKEN, float(at)) for at in range(MOST_TAKEN)]
    assert delays == sorted(delays)
    with pytest.raises(
        BrokerError, match=r"INSTANCE: another process took the slot consumer-trades-0, 4 times"
    ):
        rejoining.delay_s(TAKEN, WITHIN_S - 0.1)


def test_a_broker_that_does_not_answer_is_asked_without_end() -> None:
    rejoining = Rejoining(Backoff(lambda: 1.0))
    delays = [rejoining.delay_s(BrokerUnavailable("no answer"), float(at)) for at in range(50)]
    assert max(delays) == delays[-1] == 15.0


@pytest.mark.parametrize("lost", [True, False])
def test_a_fenced_member_commits_nothing(lost: bool) -> None:
    """Whether or not librdkafka says of its partitions that they are lost, before it says why."""
    bench = Bench([*LOG[:2], FakeMessage(2, b"", FENCED)], SLOT)

    def fence() -> None:
        if bench.kafka.position == 2:
            bench.kafka.commits.clear()
            bench.kafka.commit = refused  # type: ignore[method-assign]
            bench.kafka.revoke(lost=lost)

    def refused(offsets: Sequence[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        raise KafkaException(KafkaError(KafkaError.FENCED_INSTANCE_ID))

    bench.kafka.on_poll = fence
    with pytest.raises(SlotTaken, match="consumer-trades-0"):
        bench.service.run()
    assert bench.kafka.commits == []
    assert bench.kafka.closed


def test_a_fenced_member_is_over_when_its_last_points_have_arrived() -> None:
    """A new client has newer sums of the same minute, which they would overwrite."""
    bench = Bench([LOG[0], FakeMessage(1, b"", FENCED)], SLOT)
    written, fenced = bench.store.write, threading.Event()

    def slow(points: Sequence[Point]) -> Sequence[Point]:
        if points:
            assert fenced.wait(10)
            time.sleep(0.05)
        return written(points)

    def fence() -> None:
        if bench.kafka.position == 1:
            fenced.set()

    bench.store.write = slow  # type: ignore[method-assign]
    bench.kafka.on_poll = fence
    with pytest.raises(SlotTaken):
        bench.service.run()
    assert bench.store.ids() == [0]


def test_a_producer_that_is_out_of_step_for_good_is_not_taken_for_a_lost_slot() -> None:
    """A new client of the group would not mend it: the process is started again."""
    bench = Bench(config=SLOT)

    def refuse(topic: str, **record: Any) -> None:
        raise KafkaException(KafkaError(KafkaError._FATAL, "out of order sequence number", fatal=True))

    bench.producer.produce = refuse  # type: ignore[method-assign]
    with pytest.raises(BrokerError, match="Kafka takes no record of this process") as caught:
        bench.service.run()
    assert not isinstance(caught.value, SlotTaken | BrokerUnavailable)
    assert set(bench.kafka.commits) <= {""}


class _Incarnations:
    """A process whose consumers end as told, one after another."""

    def __init__(self, *ends: Exception | None) -> None:
        self.ends = list(ends)
        self.stop = threading.Event()
        self.failures: list[BaseException] = []

    def consumer(self, *parts: Any) -> Any:
        self.end = self.ends.pop(0)
        return self

    def run(self) -> None:
        if self.end is not None:
            raise self.end

    def stop_of(self, stream: Any) -> threading.Event:
        return self.stop


def consume(process: _Incarnations) -> ServiceMetrics:
    stream = streams(("trades",), (), memory_broker=False)[0]
    metrics = ServiceMetrics("consumer-trades", "0")
    thread = _StreamThread(process, stream, 0, None)  # type: ignore[arg-type]
    thread._consume(metrics, None)  # type: ignore[arg-type]
    return metrics


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.membership._FIRST_S", 0.001)
    monkeypatch.setattr("consumers.backoff.FIRST_S", 0.001)


@pytest.mark.usefixtures("soon")
def test_a_fenced_consumer_is_made_anew() -> None:
    process = _Incarnations(TAKEN, BrokerUnavailable("no answer"), TAKEN, None)
    consume(process)
    assert process.ends == []


@pytest.mark.usefixtures("soon")
def test_a_consumer_whose_slot_is_anothers_ends_for_good() -> None:
    process = _Incarnations(*[TAKEN] * 9)
    with pytest.raises(BrokerError, match="another process took the slot"):
        consume(process)
    assert len(process.ends) == 9 - MOST_TAKEN - 1


def test_a_stop_ends_the_wait_for_a_new_client() -> None:
    process = _Incarnations(TAKEN, None)
    process.stop.set()
    metrics = consume(process)
    assert process.ends == [None]
    assert any("slot consumer-trades-0" in trouble for trouble in metrics.health.troubles())


def test_each_stream_has_the_stop_of_its_turn() -> None:
    trades, ledger = streams(("trades", "ledger"), (), memory_broker=False)
    process = ConsumerProcess.__new__(ConsumerProcess)
    process._stop_data, process._stop_ledger = threading.Event(), threading.Event()
    assert process.stop_of(trades) is process._stop_data
    assert process.stop_of(ledger) is process._stop_ledger
