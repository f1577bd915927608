"""Cases 40 to 69: offsets and members of groups."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_END,
    OFFSET_INVALID,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from shared.kafka import cause
from tests.kafka_contract.base import (
    SESSION_MS,
    TURN_S,
    WITHIN_S,
    Calls,
    Cases,
    Place,
    codes_of,
    records_of,
)
from tests.kafka_contract.leaving import leave_amid_a_change


class Grouping(Cases):
    """Run by the contract."""

    def test_40_a_commit_keeps_offset_and_metadata_for_other_clients(
        self, place: Place, wide: str, consumers: list[Any]
    ) -> None:
        writer = self.consumer(place, consumers, wide)
        commits = [TopicPartition(wide, 0, 5, "five"), TopicPartition(wide, 1, 6)]
        done = writer.commit(offsets=commits, asynchronous=False)
        assert [(at.partition, at.offset, at.error) for at in done] == [(0, 5, None), (1, 6, None)]
        reader = self.consumer(place, consumers, wide)
        asked = [TopicPartition(wide, partition) for partition in range(3)]
        assert [
            (at.partition, at.offset, at.metadata or "") for at in reader.committed(asked, timeout=10)
        ] == [
            (0, 5, "five"),
            (1, 6, ""),
            (2, OFFSET_INVALID, ""),
        ]

    def test_41_an_asynchronous_commit_arrives(self, place: Place, topic: str, consumers: list[Any]) -> None:
        writer, at = self.consumer(place, consumers, topic), [TopicPartition(topic, 0)]
        writer.committed(at, timeout=10)
        writer.commit(offsets=[TopicPartition(topic, 0, 5)], asynchronous=True)
        self.until(place, lambda: writer.committed(at, timeout=10)[0].offset == 5)

    def test_42_reading_begins_at_the_committed_offset(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        self.write(place, topic, [b"%d" % number for number in range(5)])
        reader = self.consumer(place, consumers, topic, auto_offset_reset="error")
        reader.commit(offsets=[TopicPartition(topic, 0, 3)], asynchronous=False)
        reader.assign([TopicPartition(topic, 0)])
        assert [record.offset() for record in self.until_records(place, reader, 2)] == [3, 4]

    def test_43_a_stranger_may_not_commit_for_a_group_with_members(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        calls = Calls()
        member = calls.subscribe(self.consumer(place, consumers, topic), topic)
        self.until(place, lambda: calls.held, member)
        stranger = self.consumer(place, consumers, topic)
        with pytest.raises(KafkaException) as raised:
            stranger.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
        assert cause(raised.value).code() == KafkaError.UNKNOWN_MEMBER_ID
        assert member.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)

    def test_50_the_first_member_gets_everything_and_gives_it_back_at_the_end(
        self, place: Place, wide: str, consumers: list[Any]
    ) -> None:
        calls = Calls()
        member = calls.subscribe(self.consumer(place, consumers, wide), wide)
        self.until(place, lambda: calls.held, member)
        member.close()
        assert calls.told == [("assign", [0, 1, 2, 3]), ("revoke", [0, 1, 2, 3])]

    def test_51_a_second_member_takes_half_and_the_first_keeps_the_rest_throughout(
        self, place: Place, wide: str, consumers: list[Any]
    ) -> None:
        first_calls, second_calls = Calls(), Calls()
        first = first_calls.subscribe(self.consumer(place, consumers, wide), wide)
        self.until(place, lambda: len(first_calls.held) == 4, first)
        second = second_calls.subscribe(self.consumer(place, consumers, wide), wide)
        self.until(place, lambda: len(second_calls.held) == 2, first, second)
        (taken,) = [partitions for what, partitions in first_calls.changes if what == "revoke"]
        assert first_calls.changes == [("assign", [0, 1, 2, 3]), ("revoke", taken)]
        assert second_calls.changes == [("assign", taken)]
        # What is revoked is followed by an assignment, even of nothing; so is a join that brings nothing.
        after = first_calls.told[first_calls.told.index(("revoke", taken)) + 1]
        assert after == ("assign", [])
        assert second_calls.told[0] == ("assign", [])

    def test_52_what_a_member_that_closes_had_goes_to_the_others_at_once(
        self, place: Place, wide: str, consumers: list[Any]
    ) -> None:
        first_calls, second_calls = Calls(), Calls()
        first = first_calls.subscribe(self.consumer(place, consumers, wide), wide)
        second = second_calls.subscribe(self.consumer(place, consumers, wide), wide)
        self.until(place, lambda: len(first_calls.held) == len(second_calls.held) == 2, first, second)
        self.rest(place, (first_calls, second_calls), first, second)
        began_s = place.now_s()
        first.close()
        self.until(place, lambda: len(second_calls.held) == 4, second)
        assert place.now_s() - began_s < SESSION_MS / 1000
        assert "lost" not in dict(first_calls.told) | dict(second_calls.told)

    def test_53_a_static_member_that_is_back_in_time_gets_its_own_and_nobody_is_disturbed(
        self, place: Place, wide: str, consumers: list[Any]
    ) -> None:
        calls = {name: Calls() for name in "ab"}
        members = {
            name: calls[name].subscribe(self.consumer(place, consumers, wide, instance=name), wide)
            for name in "ab"
        }
        self.until(place, lambda: all(len(each.held) == 2 for each in calls.values()), *members.values())
        self.rest(place, tuple(calls.values()), *members.values())
        held, before = calls["a"].held, list(calls["b"].told)
        members["a"].close()
        assert calls["a"].changes[-1][0] == "revoke"
        again = Calls()
        member = again.subscribe(self.consumer(place, consumers, wide, instance="a"), wide)
        self.until(place, lambda: again.held, member, members["b"])
        assert again.held == held
        assert again.told == [("assign", sorted(held))]
        assert calls["b"].told == before

    def test_54_a_static_member_that_stays_away_loses_them_to_the_others(
        self, place: Place, wide: str, consumers: list[Any]
    ) -> None:
        calls = {name: Calls() for name in "ab"}
        members = {
            name: calls[name].subscribe(self.consumer(place, consumers, wide, instance=name), wide)
            for name in "ab"
        }
        self.until(place, lambda: all(len(each.held) == 2 for each in calls.values()), *members.values())
        self.rest(place, tuple(calls.values()), *members.values())
        began_s = place.now_s()
        members["a"].close()
        self.until(place, lambda: len(calls["b"].held) == 4, members["b"])
        assert place.now_s() - began_s > SESSION_MS / 1000 - 2

    def test_55_a_second_client_with_the_same_instance_id_fences_the_first_for_good(
        self, place: Place, wide: str, consumers: list[Any]
    ) -> None:
        first_calls, second_calls = Calls(), Calls()
        first = first_calls.subscribe(self.consumer(place, consumers, wide, instance="a"), wide)
        self.until(place, lambda: first_calls.held, first)
        second = second_calls.subscribe(self.consumer(place, consumers, wide, instance="a"), wide)
        self.until(place, lambda: second_calls.held, second)
        codes: list[int] = []

        def fenced() -> bool:
            codes.extend(codes_of(first.consume(10, TURN_S)))
            return KafkaError._FATAL in codes

        self.until(place, fenced)
        self.write(place, wide, [b"1"])
        self.nothing(first, 1.0)
        with pytest.raises(KafkaException) as raised:
            first.commit(offsets=[TopicPartition(wide, 0, 1)], asynchronous=False)
        assert cause(raised.value).code() == KafkaError._FATAL
        first.close()
        # No callback says so, not even the one of the end.
        assert first_calls.told == [("assign", [0, 1, 2, 3])]
        assert second_calls.held == {0, 1, 2, 3}

    def test_56_a_member_that_does_not_poll_is_put_out(
        self, place: Place, wide: str, consumers: list[Any]
    ) -> None:
        first_calls, second_calls = Calls(), Calls()
        slow = self.consumer(place, consumers, wide, max_poll_interval_ms=SESSION_MS)
        first_calls.subscribe(slow, wide)
        self.until(place, lambda: len(first_calls.held) == 4, slow)
        place.pause(SESSION_MS / 1000 + 2)
        second = second_calls.subscribe(self.consumer(place, consumers, wide), wide)
        self.until(place, lambda: len(second_calls.held) == 4, second)
        assert first_calls.told == [("assign", [0, 1, 2, 3])]
        with pytest.raises(KafkaException) as raised:
            slow.commit(offsets=[TopicPartition(wide, 0, 1)], asynchronous=False)
        assert cause(raised.value).code() == KafkaError.UNKNOWN_MEMBER_ID
        codes: list[int] = []

        def lost() -> bool:
            codes.extend(codes_of(slow.consume(10, TURN_S)))
            return len(first_calls.told) > 1

        self.until(place, lost)
        assert KafkaError._MAX_POLL_EXCEEDED in codes
        assert first_calls.told[1] == ("lost", [0, 1, 2, 3])

    def test_57_a_callback_that_assigns_nothing_itself_leaves_that_to_the_client(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        self.write(place, topic, [b"1"])
        member = self.consumer(place, consumers, topic)
        member.subscribe([topic], on_assign=lambda _consumer, _partitions: None)
        assert self.until_records(place, member, 1)[0].offset() == 0

    def test_58_an_error_of_a_callback_comes_out_of_the_call_that_ran_it(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        def fail(_consumer: Any, _partitions: object) -> None:
            raise ZeroDivisionError

        member = self.consumer(place, consumers, topic)
        member.subscribe([topic], on_assign=fail)
        with pytest.raises(ZeroDivisionError):
            self.until(place, lambda: False, member)

    def test_59_a_subscription_to_an_unknown_topic_is_an_error_among_the_records(
        self, place: Place, unique: str, consumers: list[Any]
    ) -> None:
        member = self.consumer(place, consumers, unique)
        member.subscribe([f"no-{unique}"])
        (error,) = self.read(place, member, 1)
        assert error.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART

    def test_60_a_member_reads_on_through_a_rebalance_without_a_record_twice_or_missing(
        self, place: Place, wide: str, consumers: list[Any]
    ) -> None:
        producer, calls, given = self.producer(place), Calls(), list[Any]()
        numbers = itertools.count()

        def produce() -> bool:
            for partition in range(4):
                producer.produce(wide, b"%d" % next(numbers), b"key", partition=partition)
            producer.poll(0)
            return False

        # With ends of partitions librdkafka 2.8 skips records at a rebalance; our members ask for none.
        first = self.consumer(place, consumers, wide, enable_partition_eof=False)
        calls.subscribe(first, wide)
        given += self.until(place, lambda: produce() or len(calls.held) == 4, first)
        other = Calls()
        second = other.subscribe(self.consumer(place, consumers, wide), wide)
        deadline_s = place.now_s() + WITHIN_S
        while len(other.held) < 2:
            assert place.now_s() < deadline_s
            produce()
            given += records_of(first.consume(10, TURN_S))
            second.consume(10, TURN_S)
        producer.flush(WITHIN_S)
        kept = calls.held
        ends = {at: first.get_watermark_offsets(TopicPartition(wide, at), timeout=10)[1] for at in kept}

        def seen(partition: int) -> list[int]:
            return [record.offset() for record in given if record.partition() == partition]

        while any(len(seen(partition)) < end for partition, end in ends.items()):
            assert place.now_s() < deadline_s
            given += records_of(first.consume(10, TURN_S))
        for partition, end in ends.items():
            assert seen(partition) == list(range(end))

    def test_61_a_member_may_choose_where_to_begin_and_commit_when_it_gives_back(
        self, place: Place, wide: str, consumers: list[Any]
    ) -> None:
        producer = self.producer(place)
        for partition, number in itertools.product(range(4), range(5)):
            producer.produce(wide, b"%d" % number, b"key", partition=partition)
        producer.flush(WITHIN_S)

        def assign(consumer: Any, partitions: list[TopicPartition]) -> None:
            if partitions:
                assert consumer.committed(partitions, timeout=10)[0].error is None
            consumer.incremental_assign([TopicPartition(wide, at.partition, 3) for at in partitions])

        def revoke(consumer: Any, partitions: list[TopicPartition]) -> None:
            commits = [TopicPartition(wide, at.partition, 5, "given back") for at in partitions]
            consumer.commit(offsets=commits, asynchronous=False)
            consumer.incremental_unassign(partitions)

        first = self.consumer(place, consumers, wide)
        first.subscribe([wide], on_assign=assign, on_revoke=revoke)
        records = self.until_records(place, first, 8)
        assert sorted((record.partition(), record.offset()) for record in records) == list(
            itertools.product(range(4), (3, 4))
        )
        calls = Calls()
        second = calls.subscribe(self.consumer(place, consumers, wide), wide)
        self.until(place, lambda: len(calls.held) == 2, first, second)
        moved = second.committed([TopicPartition(wide, at) for at in calls.held], timeout=10)
        assert [(at.offset, at.metadata) for at in moved] == [(5, "given back")] * 2
        settled_s = place.now_s() + 3  # no change waits to be told: while one does, `close` has left already
        self.until(place, lambda: place.now_s() > settled_s, first, second)
        first.close()
        everything = [TopicPartition(wide, at) for at in range(4)]
        assert [at.offset for at in second.committed(everything, timeout=10)] == [5] * 4

    def test_62_a_pause_outlives_a_rebalance(self, place: Place, wide: str, consumers: list[Any]) -> None:
        first_calls, second_calls = Calls(), Calls()
        first = first_calls.subscribe(self.consumer(place, consumers, wide), wide)
        self.until(place, lambda: len(first_calls.held) == 4, first)
        first.pause([TopicPartition(wide, at) for at in range(4)])
        second = second_calls.subscribe(self.consumer(place, consumers, wide), wide)
        self.until(place, lambda: len(second_calls.held) == 2, first, second)
        producer = self.producer(place)
        for partition in range(4):
            producer.produce(wide, b"value", b"key", partition=partition)
        producer.flush(WITHIN_S)
        self.until_records(place, second, 2)
        self.nothing(first, 1.0)
        first.resume([TopicPartition(wide, at) for at in first_calls.held])
        records = self.until_records(place, first, 2)
        assert {record.partition() for record in records} == first_calls.held

    def test_63_reading_may_begin_at_the_end(self, place: Place, topic: str, consumers: list[Any]) -> None:
        self.write(place, topic, [b"old"])
        reader = self.consumer(place, consumers, topic)
        reader.incremental_assign([TopicPartition(topic, 0, OFFSET_END)])
        (end,) = self.read(place, reader, 1)
        assert (end.error().code(), end.offset()) == (KafkaError._PARTITION_EOF, 1)
        self.write(place, topic, [b"new"])
        (record,) = self.until_records(place, reader, 1)
        assert (record.offset(), record.value()) == (1, b"new")

    def test_64_a_change_that_waits_is_told_at_the_end_and_the_rest_may_no_longer_be_committed(
        self, place: Place, wide: str
    ) -> None:
        *told, rest = place.apart(leave_amid_a_change, wide, 3)
        assert told == [4, None]
        # The member leaves meanwhile: which of the two requests comes first is chance, and a commit that
        # comes second is refused.
        assert rest in (None, KafkaError.UNKNOWN_MEMBER_ID)

    def test_65_a_member_that_is_put_out_before_it_is_told_of_a_change_hears_that_first(
        self, place: Place, wide: str, consumers: list[Any]
    ) -> None:
        first_calls, second_calls = Calls(), Calls()
        slow = self.consumer(place, consumers, wide, max_poll_interval_ms=SESSION_MS)
        first_calls.subscribe(slow, wide)
        self.until(place, lambda: len(first_calls.held) == 4, slow)
        second = second_calls.subscribe(self.consumer(place, consumers, wide), wide)
        self.until(place, lambda: len(second_calls.held) == 4, second)
        self.until(place, lambda: len(first_calls.told) > 3, slow, second, errors=True)
        assert [(what, len(partitions)) for what, partitions in first_calls.told[:4]] == [
            ("assign", 4),
            ("revoke", 2),
            ("assign", 0),
            ("lost", 2),
        ]
