"""What the contract cannot ask of a real Kafka: kills at any moment, power cuts, the same again by seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from shared.kafka import cause, consumer_config, producer_config
from tests.kafka_contract import Calls, Reports
from tests.simulation.kafka.broker import Broker, Pace
from tests.simulation.kafka.clients import ProcessClients
from tests.simulation.port import StepClock

SEEDS = range(40)


class Scene:
    """A broker with the topic `t` of two partitions."""

    def __init__(self, seed: int = 1, pace: Pace | None = None) -> None:
        self.clock = StepClock(seed)
        self.broker = Broker(self.clock, pace)
        self.broker.create_topic("t", 2)
        self.process = ProcessClients(self.broker)

    def producer(self, process: ProcessClients | None = None, **config: Any) -> Any:
        clients = (process or self.process).clients
        return clients.producer(producer_config("broker", "test") | config)

    def consumer(self, process: ProcessClients | None = None, *, instance: str | None = None) -> Any:
        clients = (process or self.process).clients
        settings = consumer_config("broker", "group", "test", instance_id=instance)
        return clients.consumer(settings | {"auto.offset.reset": "error"})

    def values(self, partition: int = 0) -> list[bytes | None]:
        return [record.value() for record in self.broker.topics["t"].logs[partition].records]

    def until(self, done: Callable[[], object], *consumers: Any, within_s: float = 60.0) -> None:
        deadline_s = self.clock.now_s() + within_s
        while not done():
            assert self.clock.now_s() < deadline_s
            if not consumers:
                self.clock.advance(0.05)
            for consumer in consumers:
                consumer.consume(100, 0.05)


def write(producer: Any, count: int, reports: Reports | None = None, first: int = 0) -> None:
    for number in range(first, first + count):
        producer.produce("t", b"%d" % number, b"key", partition=0, on_delivery=reports)


def test_a_killed_producer_leaves_a_beginning_of_what_it_sent_by_chance() -> None:
    lengths = set()
    for seed in SEEDS:
        scene = Scene(seed)
        producer = scene.producer()
        for number in range(20):
            write(producer, 1, first=number)
            scene.clock.advance(0.006)
        write(producer, 5, first=20)
        scene.process.die()
        scene.clock.advance(1.0)
        values = scene.values()
        assert values == [b"%d" % number for number in range(len(values))]
        lengths.add(len(values))
    assert len(lengths) > 1
    assert max(lengths) <= 20  # what was still gathered is lost


def test_a_killed_process_has_no_effect_any_more() -> None:
    scene = Scene()
    process, calls = ProcessClients(scene.broker), Calls()
    consumer = calls.subscribe(scene.consumer(process), "t")
    scene.until(lambda: calls.held, consumer)
    process.die()
    before = scene.values()
    consumer.commit(offsets=[TopicPartition("t", 0, 5)], asynchronous=True)
    scene.clock.advance(1.0)
    assert scene.broker.coordinator.committed("group", [("t", 0)]) == {}
    assert scene.values() == before


def test_the_partitions_of_a_killed_member_move_when_its_session_ends() -> None:
    scene = Scene()
    process, first_calls, second_calls = ProcessClients(scene.broker), Calls(), Calls()
    first = first_calls.subscribe(scene.consumer(process), "t")
    second = second_calls.subscribe(scene.consumer(), "t")
    scene.until(lambda: len(first_calls.held) == len(second_calls.held) == 1, first, second)
    process.die()
    began_s = scene.clock.now_s()
    scene.until(lambda: len(second_calls.held) == 2, second)
    assert 8 < scene.clock.now_s() - began_s < 12


def test_a_broker_that_is_killed_at_any_moment_gets_each_record_once_and_in_order() -> None:
    for seed in SEEDS:
        scene = Scene(seed)
        producer, reports = scene.producer(), Reports()
        for number in range(100):
            write(producer, 1, reports, number)
            scene.clock.advance(scene.clock.random.uniform(0, 0.02))
            if scene.clock.random.random() < 0.05:
                scene.broker.stop()
                scene.clock.advance(scene.clock.random.uniform(0, 1.0))
                scene.broker.start()
        assert producer.flush(120) == 0
        assert scene.values() == [b"%d" % number for number in range(100)]
        assert reports.told == [(None, 0, offset) for offset in range(100)]


def written(scene: Scene) -> Any:
    """A producer that has written twenty records to partition 0, a batch each."""
    producer = scene.producer()
    for number in range(20):
        write(producer, 1, first=number)
        producer.flush(5)
    return producer


def cut(scene: Scene) -> None:
    """A power cut that takes ten of twenty acknowledged records."""
    scene.broker.stop()
    scene.broker.topics["t"].logs[0].truncate(10)
    scene.broker.start()


def test_a_power_cut_takes_a_part_of_its_own_of_each_log() -> None:
    ends = set()
    for seed in SEEDS:
        scene = Scene(seed)
        producer = scene.producer()
        for number in range(20):
            producer.produce("t", b"%d" % number, partition=0)
            producer.produce("t", b"%d" % number, partition=1)
            producer.flush(5)
        scene.broker.cut()
        first, second = (scene.values(partition) for partition in (0, 1))
        assert first == [b"%d" % number for number in range(len(first))]
        assert second == [b"%d" % number for number in range(len(second))]
        ends.add((len(first), len(second)))
    assert any(20 in pair for pair in ends)
    assert len(ends) > 20


def test_a_producer_whose_acknowledged_records_were_lost_ends_instead_of_leaving_a_hole() -> None:
    scene = Scene()
    producer = written(scene)
    cut(scene)
    write(producer, 5, first=20)
    with pytest.raises(KafkaException) as raised:
        scene.until(lambda: producer.poll(0.1) < 0)
    error = cause(raised.value)
    assert (error.code(), error.fatal()) == (KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, True)
    assert scene.values() == [b"%d" % number for number in range(10)]


def test_a_reader_beyond_the_end_of_a_truncated_log_is_told() -> None:
    scene = Scene()
    written(scene)
    reader = scene.consumer()
    reader.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
    assert len(reader.consume(20, 5.0)) == 20
    cut(scene)
    (lost,) = reader.consume(1, 30.0)
    assert lost.error().code() == KafkaError._AUTO_OFFSET_RESET


def test_so_is_one_whose_next_offset_was_taken_by_other_records() -> None:
    scene = Scene()
    written(scene)
    reader = scene.consumer()
    reader.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
    assert len(reader.consume(20, 5.0)) == 20
    cut(scene)
    other = scene.producer(ProcessClients(scene.broker))
    write(other, 15)
    other.flush(30)
    (lost,) = reader.consume(1, 30.0)
    assert (lost.error().code(), len(scene.values())) == (KafkaError._AUTO_OFFSET_RESET, 25)


def test_a_power_cut_may_take_commits_and_offsets_stay_behind() -> None:
    found = set()
    for seed in SEEDS:
        scene = Scene(seed)
        member = scene.consumer()
        for offset in range(10):
            member.commit(offsets=[TopicPartition("t", 0, offset)], asynchronous=False)
        scene.broker.cut()
        scene.broker.start()
        (at,) = member.committed([TopicPartition("t", 0)], timeout=30)
        found.add(at.offset)
    assert len(found) > 3
    assert max(found) == 9


def test_a_static_member_outlives_a_restart_of_the_broker() -> None:
    scene = Scene()
    calls = Calls()
    member = calls.subscribe(scene.consumer(instance="a"), "t")
    scene.until(lambda: calls.held, member)
    scene.broker.stop()
    scene.clock.advance(1.0)
    scene.broker.start()
    deadline_s = scene.clock.now_s() + 30
    while scene.clock.now_s() < deadline_s:
        member.consume(10, 0.1)
    assert calls.changes == [("assign", [0, 1])]
    assert member.commit(offsets=[TopicPartition("t", 0, 1)], asynchronous=False)


def test_retention_takes_the_oldest_records_and_offsets_keep_their_numbers() -> None:
    scene = Scene()
    producer = scene.producer()
    write(producer, 10)
    producer.flush(5)
    scene.broker.topics["t"].logs[0].drop_before(4)
    reader = scene.consumer()
    reader.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
    assert [record.offset() for record in reader.consume(6, 5.0)] == [4, 5, 6, 7, 8, 9]


def test_topics_are_cleaned_as_their_settings_say() -> None:
    scene = Scene()
    scene.broker.create_topic("compacted", 1, {"cleanup.policy": "compact"})
    scene.broker.create_topic("short", 1, {"retention.ms": "1000"})
    scene.broker.create_topic("small", 1, {"retention.bytes": "33"})
    producer = scene.producer()
    for number in range(40):
        for topic in ("compacted", "short", "small"):
            producer.produce(topic, b"%d" % (number % 10), b"key")
        producer.flush(5)
    scene.clock.advance(2.0)
    producer.produce("short", b"new", b"key")
    producer.flush(5)
    scene.broker.clean()
    compacted, short, small = (scene.broker.topics[name].logs[0] for name in ("compacted", "short", "small"))
    assert (compacted.start, compacted.end) == (0, 40)
    assert 1 <= len(compacted.records) < 40
    assert (short.start, short.end, [record.value() for record in short.records]) == (40, 41, [b"new"])
    assert (small.start, [record.offset() for record in small.records]) == (38, [38, 39])


def test_a_tombstone_takes_the_key_away_and_goes_itself_a_day_later() -> None:
    scene = Scene()
    producer = scene.producer()
    for value in (b"1", None):
        producer.produce("t", value, b"gone", partition=0)
        producer.flush(5)
    write(producer, 1)
    producer.flush(5)
    log = scene.broker.topics["t"].logs[0]
    log.compact(2, tombstones_before_ms=0)
    assert scene.values() == [None, b"0"]
    log.compact(2, scene.clock.now_ms() + 1)
    assert scene.values() == [b"0"]


def test_a_frozen_broker_answers_nothing_and_then_does_what_it_was_asked() -> None:
    scene = Scene()
    producer, reports = scene.producer(), Reports()
    write(producer, 1, reports)
    producer.flush(5)
    scene.broker.freeze()
    write(producer, 1, reports, 1)
    assert producer.flush(5) == 1
    scene.broker.thaw()
    assert producer.flush(5) == 0
    assert reports.offsets == [0, 1]


@pytest.mark.parametrize("seed", range(10))
def test_a_member_loses_its_partitions_while_the_broker_is_frozen_and_gets_them_back(seed: int) -> None:
    scene = Scene(seed)
    calls = Calls()
    member = calls.subscribe(scene.consumer(instance="a"), "t")
    scene.until(lambda: calls.held, member)
    scene.broker.freeze()
    scene.until(lambda: not calls.held, member)
    assert calls.told[-1] == ("lost", [0, 1])
    scene.broker.thaw()
    try:
        scene.until(lambda: calls.held, member)
    except KafkaException as error:
        # Our own request to join, sent while it was frozen, is taken for another process.
        assert cause(error).code() == KafkaError.FENCED_INSTANCE_ID


def history(seed: int) -> list[object]:
    """What two members and a producer live through, with all that can happen to a broker."""
    scene = Scene(seed)
    seen: list[object] = []
    calls = Calls(), Calls()
    members = [each.subscribe(scene.consumer(), "t") for each in calls]
    producer = scene.producer()
    for step in range(300):
        try:
            producer.produce("t", b"%d" % step, b"%d" % (step % 7))
            producer.poll(0)
        except KafkaException as error:
            seen.append(str(error))
            producer = scene.producer()
        for member in members:
            seen += [(m.partition(), m.offset(), m.value()) for m in member.consume(10, 0.05)]
        chance = scene.clock.random.random()
        if chance < 0.01:
            scene.broker.cut()
        elif chance < 0.02:
            scene.broker.stop()
        elif chance < 0.1:
            scene.broker.start()
    return [*seen, calls[0].told, calls[1].told, scene.clock.now_s(), scene.clock.random.random()]


def test_a_seed_decides_everything() -> None:
    for seed in range(5):
        assert history(seed) == history(seed)
    assert history(1) != history(2)
