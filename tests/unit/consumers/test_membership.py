"""Members of a group that are fenced come back by themselves, unless another process uses their name."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from consumers.measurements import Point
from consumers.membership import MAX_FENCED, WITHIN_S, Rejoining, fenced
from consumers.process import ConsumerProcess
from consumers.rejoin import consume
from consumers.streams import streams
from shared.backoff import consumer_backoff
from shared.errors import BrokerError, BrokerUnavailable, MemberFenced
from shared.health import Health
from tests.unit.consumers.service_bench import LOG, Bench, FakeMessage

STATIC = {"group.instance.id": "consumer-trades-0"}
FENCED = KafkaError(KafkaError._FATAL, "Static consumer fenced by other consumer", fatal=True)
TAKEN = MemberFenced("consumer-trades-0", "fenced")


def test_only_a_static_member_can_be_fenced() -> None:
    assert fenced(FENCED, None) is None
    assert fenced(KafkaError(KafkaError._ALL_BROKERS_DOWN), "a-0") is None
    for code in (KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID):
        taken = fenced(KafkaError(code), "a-0")
        assert taken is not None
        assert taken.instance_id == "a-0"


def test_a_member_that_is_fenced_now_and_then_rejoins_for_ever() -> None:
    rejoining = Rejoining()
    for hour in range(100):
        assert rejoining.delay_s(TAKEN, hour * 3600.0) < 5.0


def test_a_member_that_is_fenced_again_and_again_has_a_rival() -> None:
    rejoining = Rejoining()
    delays = [rejoining.delay_s(TAKEN, float(at)) for at in range(MAX_FENCED)]
    assert delays == sorted(delays)
    with pytest.raises(
        BrokerError, match=r"INSTANCE: another process joined the group as consumer-trades-0, 4 times"
    ):
        rejoining.delay_s(TAKEN, WITHIN_S - 0.1)


def test_a_broker_that_does_not_answer_is_asked_without_end() -> None:
    rejoining = Rejoining(consumer_backoff(lambda: 1.0))
    delays = [rejoining.delay_s(BrokerUnavailable("no answer"), float(at)) for at in range(50)]
    assert max(delays) == delays[-1] == 15.0


@pytest.mark.parametrize("lost", [True, False])
def test_a_fenced_member_commits_nothing(lost: bool) -> None:
    """Whether or not librdkafka says of its partitions that they are lost, before it says why."""
    bench = Bench([*LOG[:2], FakeMessage(2, b"", FENCED)], STATIC)

    def fence() -> None:
        if bench.kafka.position == 2:
            bench.kafka.commits.clear()
            bench.kafka.commit = refused  # type: ignore[method-assign]
            bench.kafka.revoke(lost=lost)

    def refused(offsets: Sequence[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        raise KafkaException(KafkaError(KafkaError.FENCED_INSTANCE_ID))

    bench.kafka.on_poll = fence
    with pytest.raises(MemberFenced, match="consumer-trades-0"):
        bench.service.run()
    assert bench.kafka.commits == []
    assert bench.kafka.closed


def test_a_fenced_member_is_over_when_its_last_points_have_arrived() -> None:
    """A new client has newer sums of the same minute, which they would overwrite."""
    bench = Bench([LOG[0], FakeMessage(1, b"", FENCED)], STATIC)
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
    with pytest.raises(MemberFenced):
        bench.service.run()
    assert bench.store.ids() == [0]


def test_a_producer_that_is_out_of_step_for_good_is_not_taken_for_a_lost_slot() -> None:
    """A new client of the group would not fix it: the process is started again."""
    bench = Bench(config=STATIC)

    def refuse(topic: str, **record: Any) -> None:
        raise KafkaException(KafkaError(KafkaError._FATAL, "out of order sequence number", fatal=True))

    bench.producer.produce = refuse  # type: ignore[method-assign]
    with pytest.raises(BrokerError, match="Kafka takes no record of this process") as caught:
        bench.service.run()
    assert not isinstance(caught.value, MemberFenced | BrokerUnavailable)
    assert set(bench.kafka.commits) <= {""}


class _Members:
    """Members of a group that end as told, one after another."""

    def __init__(self, *ends: Exception | None) -> None:
        self.ends = list(ends)
        self.stop = threading.Event()
        self.health = Health()

    def join(self) -> _Members:
        self.end = self.ends.pop(0)
        return self

    def run(self) -> None:
        if self.end is not None:
            raise self.end

    def consume(self) -> None:
        consume("trades", self.join, self.stop, self.health)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.membership._FIRST_S", 0.001)
    monkeypatch.setattr("shared.backoff.FIRST_S", 0.001)


@pytest.mark.usefixtures("soon")
def test_a_fenced_consumer_is_made_anew() -> None:
    members = _Members(TAKEN, BrokerUnavailable("no answer"), TAKEN, None)
    members.consume()
    assert members.ends == []


@pytest.mark.usefixtures("soon")
def test_a_consumer_whose_slot_is_anothers_ends_for_good() -> None:
    members = _Members(*[TAKEN] * 9)
    with pytest.raises(BrokerError, match="another process joined the group as"):
        members.consume()
    assert len(members.ends) == 9 - MAX_FENCED - 1


def test_a_stop_ends_the_wait_for_a_new_client() -> None:
    members = _Members(TAKEN, None)
    members.stop.set()
    members.consume()
    assert members.ends == [None]
    assert any("member consumer-trades-0" in trouble for trouble in members.health.troubles())


def test_each_stream_has_the_stop_of_its_turn() -> None:
    trades, ledger = streams(("trades", "ledger"), (), memory_broker=False)
    process = ConsumerProcess.__new__(ConsumerProcess)
    process._stop_data, process._stop_ledger = threading.Event(), threading.Event()
    assert process.stop_of(trades) is process._stop_data
    assert process.stop_of(ledger) is process._stop_ledger
