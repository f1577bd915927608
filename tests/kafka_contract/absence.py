"""Cases 70 to 99: what a broker says, and when it is away, comes back, or has lost something."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_INVALID,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import ConfigResource, ResourceType

from shared.kafka import admin_config, cause
from tests.kafka_contract.base import (
    WITHIN_S,
    Calls,
    Cases,
    Place,
    Reports,
    codes_of,
    failure_of,
)


class Absence(Cases):
    """Run by the contract."""

    def test_70_topics_are_listed_with_their_partitions(self, place: Place, wide: str, topic: str) -> None:
        admin = place.clients.admin(admin_config(place.address))
        topics = admin.list_topics(timeout=10).topics
        assert (sorted(topics[wide].partitions), sorted(topics[topic].partitions)) == ([0, 1, 2, 3], [0])
        assert sorted(self.producer(place).list_topics(wide, timeout=10).topics) == [wide]

    def test_71_an_unknown_topic_is_said_to_be_missing(
        self, place: Place, unique: str, consumers: list[Any]
    ) -> None:
        admin, name = place.clients.admin(admin_config(place.address)), f"no-{unique}"
        found = admin.list_topics(name, timeout=10).topics[name]
        assert found.error is not None
        assert (found.error.code(), len(found.partitions)) == (KafkaError.UNKNOWN_TOPIC_OR_PART, 0)
        (answer,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)]).values()
        assert failure_of(lambda: answer.result(10)) == KafkaError.UNKNOWN_TOPIC_OR_PART
        assert failure_of(lambda: self.ends(place, name)) == KafkaError._NOENT
        reader, at = self.consumer(place, consumers, unique), TopicPartition(name, 0, 0)
        reader.list_topics(timeout=10)
        asks: list[tuple[Callable[[], Any], int]] = [
            (lambda: reader.get_watermark_offsets(at, timeout=5), KafkaError._UNKNOWN_PARTITION),
            (lambda: reader.offsets_for_times([at], timeout=5), KafkaError._UNKNOWN_PARTITION),
            (lambda: reader.commit(offsets=[at], asynchronous=False), KafkaError.UNKNOWN_TOPIC_OR_PART),
        ]
        for ask, code in asks:
            assert failure_of(ask) == code
        assert reader.committed([at], timeout=5)[0].offset == OFFSET_INVALID

    def test_72_ends_are_listed_with_the_leaders_epoch(self, place: Place, topic: str) -> None:
        self.write(place, topic, [b"1", b"2"])
        latest = self.ends(place, topic)
        assert latest.offset == 2
        assert latest.leader_epoch is not None

    def test_73_settings_of_topics_are_described(self, place: Place, unique: str) -> None:
        name = self.create(place, f"kept-{unique}", 1, retention_ms="86400000")
        admin = place.clients.admin(admin_config(place.address))
        (answer,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)]).values()
        settings = answer.result(10)
        assert (settings["retention.ms"].value, settings["message.timestamp.type"].value) == (
            "86400000",
            "LogAppendTime",
        )
        assert settings["cleanup.policy"].value == "delete"

    def test_90_records_written_while_it_is_away_arrive_once_and_in_order(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        errors: list[KafkaError] = []
        producer, reports = self.producer(place, error_cb=errors.append), Reports()
        numbers = itertools.count()

        def produce(count: int) -> None:
            for number in itertools.islice(numbers, count):
                producer.produce(topic, b"%d" % number, b"key", on_delivery=reports)

        produce(100)
        producer.flush(WITHIN_S)
        produce(100)  # in flight
        place.stop()
        produce(100)
        self.until(place, lambda: producer.poll(0.1) < 0 or len(errors) > 1)
        codes = {error.code() for error in errors}
        assert codes == {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}
        assert not any(error.fatal() for error in errors)
        assert producer.flush(0.5) >= 100
        place.start()
        produce(100)
        assert producer.flush(60) == 0
        assert [error for error, _, _ in reports.told] == [None] * 400
        assert reports.offsets == list(range(400))
        reader = self.consumer(place, consumers, topic)
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        values = [record.value() for record in self.until_records(place, reader, 400)]
        assert values == [b"%d" % number for number in range(400)]

    def test_91_the_leaders_epoch_rises_and_reading_goes_on(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        self.write(place, topic, [b"1"])
        before = self.ends(place, topic).leader_epoch
        reader = self.consumer(place, consumers, topic, auto_offset_reset="error")
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        (first,) = self.until_records(place, reader, 1)
        place.stop()
        self.nothing(reader, 1.0, away=True)
        place.start()
        self.write(place, topic, [b"2"])
        (second,) = self.until_records(place, reader, 1, away=True)
        assert (first.leader_epoch(), second.offset()) == (before, 1)
        assert second.leader_epoch() == self.ends(place, topic).leader_epoch > before

    def test_92_requests_fail_after_their_time(self, place: Place, topic: str, consumers: list[Any]) -> None:
        """Within some seconds more, for some of them."""
        reader, at = self.consumer(place, consumers, topic), TopicPartition(topic, 0, 0)
        admin = place.clients.admin(admin_config(place.address))
        self.write(place, topic, [b"1"])
        reader.committed([at], timeout=10)
        reader.get_watermark_offsets(at, timeout=10)
        admin.list_topics(timeout=10)
        place.stop()
        place.pause(1.0)
        stranger = self.consumer(place, consumers, topic)
        asks: list[tuple[Callable[[], Any], int]] = [
            (lambda: reader.get_watermark_offsets(at, timeout=2), KafkaError._TIMED_OUT_QUEUE),
            (lambda: stranger.get_watermark_offsets(at, timeout=2), KafkaError._ALL_BROKERS_DOWN),
            (lambda: reader.committed([at], timeout=2), KafkaError._TIMED_OUT),
            (lambda: stranger.committed([at], timeout=2), KafkaError._TIMED_OUT),
            (lambda: reader.offsets_for_times([at], timeout=2), KafkaError._TIMED_OUT),
            (lambda: stranger.offsets_for_times([at], timeout=2), KafkaError._ALL_BROKERS_DOWN),
            (lambda: reader.list_topics(timeout=2), KafkaError._TRANSPORT),
            (lambda: admin.list_topics(timeout=2), KafkaError._TRANSPORT),
            (lambda: self.ends(place, topic, request_timeout=2), KafkaError._TIMED_OUT),
        ]
        try:
            codes = [failure_of(ask) for ask, _ in asks]
        finally:
            place.start()
        assert codes == [code for _, code in asks]

    def test_93_a_short_absence_takes_no_partitions_away(
        self, place: Place, wide: str, consumers: list[Any]
    ) -> None:
        calls = Calls()
        member = self.consumer(place, consumers, wide, session_timeout_ms=45_000)
        calls.subscribe(member, wide)
        self.until(place, lambda: len(calls.held) == 4, member)
        place.stop()
        self.nothing(member, 1.0, away=True)
        place.start()
        reports = self.write(place, wide, [b"1"])
        (record,) = self.until_records(place, member, 1, away=True)
        assert [record.offset()] == reports.offsets
        commit = [TopicPartition(wide, record.partition(), 1)]
        assert member.commit(offsets=commit, asynchronous=False)
        assert calls.changes == [("assign", [0, 1, 2, 3])]

    def test_94_after_a_long_absence_the_partitions_are_lost_and_come_again(
        self, place: Place, wide: str, consumers: list[Any]
    ) -> None:
        calls = Calls()
        member = calls.subscribe(self.consumer(place, consumers, wide), wide)
        self.until(place, lambda: len(calls.held) == 4, member)
        place.stop()
        try:
            self.until(place, lambda: "lost" in dict(calls.told), member, away=True)
        finally:
            place.start()
        self.until(place, lambda: len(calls.held) == 4, member, within_s=60, away=True)
        assert calls.changes == [("assign", [0, 1, 2, 3]), ("lost", [0, 1, 2, 3]), ("assign", [0, 1, 2, 3])]

    def test_95_a_commit_waits_for_the_broker(self, place: Place, topic: str, consumers: list[Any]) -> None:
        writer, at = self.consumer(place, consumers, topic), [TopicPartition(topic, 0)]
        assert writer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
        place.stop()
        place.pause(1.0)
        began_s = place.now_s()
        try:
            code = failure_of(
                lambda: writer.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
            )
            took_s = place.now_s() - began_s
        finally:
            place.start()
        assert (code, took_s > 2) == (KafkaError._WAIT_COORD, True)
        self.until(place, lambda: failure_of(lambda: writer.committed(at, timeout=10)) is None)
        assert writer.committed(at, timeout=10)[0].offset == 1

    def test_96_a_producer_whose_acknowledged_records_were_lost_ends_and_leaves_no_hole(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        producer = self.producer(place)

        def produce(value: bytes) -> None:
            producer.produce(topic, value, b"key")
            producer.flush(WITHIN_S)

        produce(b"kept")
        mark = place.written(topic)
        produce(b"lost")
        place.lose(topic, mark)
        producer.produce(topic, b"after", b"key")
        with pytest.raises(KafkaException) as raised:
            self.until(place, lambda: producer.poll(0.1) < 0)
        error = cause(raised.value)
        assert (error.code(), error.fatal()) == (KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, True)
        reader = self.consumer(place, consumers, topic)
        assert reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=10) == (0, 1)

    @pytest.mark.parametrize("others", [0, 3])
    def test_97_a_reader_of_lost_records_is_told_even_where_others_have_their_offsets(
        self, place: Place, topic: str, consumers: list[Any], others: int
    ) -> None:
        self.write(place, topic, [b"kept"])
        mark = place.written(topic)
        self.write(place, topic, [b"lost", b"lost too"])
        reader = self.consumer(place, consumers, topic, auto_offset_reset="error")
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        self.until_records(place, reader, 3)
        place.lose(topic, mark)
        self.write(place, topic, [b"other"] * others)
        codes: list[int] = []
        while KafkaError._AUTO_OFFSET_RESET not in codes:
            given = self.read(place, reader, 1)
            assert codes_of(given), given[0].value()
            codes += codes_of(given)
        assert reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=10) == (0, 1 + others)

    def test_98_a_member_that_the_coordinator_forgot_joins_anew(
        self, place: Place, wide: str, consumers: list[Any]
    ) -> None:
        calls = {name: Calls() for name in "ab"}
        groups: dict[str, Any] = {
            name: self.consumer(
                place, consumers, f"{wide}-{name}", instance=instance, session_timeout_ms=45_000
            )
            for name, instance in (("a", None), ("b", "b"))
        }
        # The log of the offsets exists from the first one on.
        groups["a"].commit(offsets=[TopicPartition(wide, 0, 1)], asynchronous=False)
        mark = place.written("__consumer_offsets")
        dynamic, static = (calls[name].subscribe(groups[name], wide) for name in "ab")
        self.until(place, lambda: all(len(each.held) == 4 for each in calls.values()), dynamic, static)
        place.lose("__consumer_offsets", mark)
        everything = [0, 1, 2, 3]
        again = [("assign", everything), ("lost", everything), ("assign", everything)]
        self.until(
            place, lambda: all(each.changes == again for each in calls.values()), dynamic, static, within_s=60
        )

    def test_99_a_client_made_while_the_broker_is_away_works_when_it_is_back(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        writer = self.consumer(place, consumers, topic)
        writer.commit(offsets=[TopicPartition(topic, 0, 1, "kept")], asynchronous=False)
        place.stop()
        calls, reports = Calls(), Reports()
        member = calls.subscribe(self.consumer(place, consumers, topic), topic)
        producer = self.producer(place)
        producer.produce(topic, b"value", b"key", on_delivery=reports)
        self.nothing(member, 1.0, away=True)
        place.start()
        self.until(place, lambda: calls.held, member, within_s=60, away=True)
        assert producer.flush(60) == 0
        assert reports.told == [(None, 0, 0)]
        (at,) = member.committed([TopicPartition(topic, 0)], timeout=10)
        assert (at.offset, at.metadata) == (1, "kept")
