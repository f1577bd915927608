"""Cases 20 to 39: assigned partitions, without a group."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from shared.kafka import admin_config, cause
from tests.kafka_contract.base import (
    TURN_S,
    WITHIN_S,
    Cases,
    Place,
    codes_of,
)


class Reading(Cases):
    """Run by the contract."""

    def test_20_the_end_of_a_partition_is_said_once_and_again_after_more_records(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        reader = self.consumer(place, consumers, topic)
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        (end,) = self.read(place, reader, 1)
        assert (end.error().code(), end.topic(), end.partition(), end.offset()) == (
            KafkaError._PARTITION_EOF,
            topic,
            0,
            0,
        )
        assert reader.consume(10, 1.0) == []
        self.write(place, topic, [b"1", b"2"])
        first, second, end = self.read(place, reader, 3)
        assert (first.value(), second.value(), end.error().code(), end.offset()) == (
            b"1",
            b"2",
            KafkaError._PARTITION_EOF,
            2,
        )

    def test_21_consume_waits_for_the_whole_batch_or_the_time(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        self.write(place, topic, [b"1", b"2", b"3"])
        reader = self.consumer(place, consumers, topic, enable_partition_eof=False)
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        self.read(place, reader, 1)
        began_s = place.now_s()
        assert len(reader.consume(100, 1.0)) == 2
        assert 0.9 <= place.now_s() - began_s < WITHIN_S / 2
        assert reader.poll(0.1) is None
        self.write(place, topic, [b"4", b"5"])
        began_s = place.now_s()
        assert [len(reader.consume(1, WITHIN_S)), len(reader.consume(1, WITHIN_S))] == [1, 1]
        assert place.now_s() - began_s < WITHIN_S / 2

    def test_22_bounds_are_asked_for_or_known_from_reading(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        self.write(place, topic, [b"1", b"2", b"3"])
        reader, at = self.consumer(place, consumers, topic), TopicPartition(topic, 0)
        assert reader.get_watermark_offsets(at, timeout=10) == (0, 3)
        reader.assign([TopicPartition(topic, 0, 1)])
        self.read(place, reader, 3)
        assert reader.get_watermark_offsets(at, cached=True)[1] == 3
        self.write(place, topic, [b"4"])
        self.read(place, reader, 2)
        assert reader.get_watermark_offsets(at, cached=True)[1] == 4

    def test_23_offsets_for_times_are_of_the_first_record_since(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        self.write(place, topic, [b"1"])
        place.pause(0.5)
        self.write(place, topic, [b"2"])
        reader = self.consumer(place, consumers, topic)
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        times = [record.timestamp()[1] for record in self.read(place, reader, 2)]

        def at(time_ms: int) -> int:
            (found,) = reader.offsets_for_times([TopicPartition(topic, 0, time_ms)], timeout=10)
            assert found.error is None
            return int(found.offset)

        assert [at(0), at(times[0]), at(times[0] + 1), at(times[1])] == [0, 0, 1, 1]
        assert at(times[1] + 1) == OFFSET_END

    @pytest.mark.parametrize("offset", [7, OFFSET_INVALID])
    def test_24_an_offset_that_is_not_there_is_an_error_where_the_settings_say_so(
        self, place: Place, topic: str, consumers: list[Any], offset: int
    ) -> None:
        self.write(place, topic, [b"1"])
        reader = self.consumer(place, consumers, topic, auto_offset_reset="error")
        reader.assign([TopicPartition(topic, 0, offset)])
        (lost,) = self.read(place, reader, 1)
        assert (lost.error().code(), lost.topic(), lost.partition()) == (
            KafkaError._AUTO_OFFSET_RESET,
            topic,
            0,
        )
        self.nothing(reader, 1.0)

    @pytest.mark.parametrize(("reset", "first"), [("earliest", 0), ("latest", 2)])
    def test_25_or_reading_begins_anew_at_one_end(
        self, place: Place, topic: str, consumers: list[Any], reset: str, first: int
    ) -> None:
        self.write(place, topic, [b"1", b"2"])
        reader = self.consumer(place, consumers, topic, auto_offset_reset=reset, enable_partition_eof=True)
        reader.assign([TopicPartition(topic, 0, 7)])
        self.read(place, reader, 3 - first)
        self.write(place, topic, [b"3"])
        (record,) = self.until_records(place, reader, 1)
        assert record.offset() == 2

    def test_26_a_paused_partition_gives_nothing_and_goes_on_where_it_was(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        self.write(place, topic, [b"%d" % number for number in range(100)])
        reader, at = self.consumer(place, consumers, topic), [TopicPartition(topic, 0)]
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        self.until_records(place, reader, 10)
        place.pause(0.5)  # the rest is read ahead
        reader.pause(at)
        self.nothing(reader, 1.0)
        reader.resume(at)
        assert [record.offset() for record in self.until_records(place, reader, 90)] == list(range(10, 100))

    def test_27_a_pause_outlives_the_assignment(self, place: Place, topic: str, consumers: list[Any]) -> None:
        self.write(place, topic, [b"1"])
        reader, at = self.consumer(place, consumers, topic), [TopicPartition(topic, 0)]
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        self.until_records(place, reader, 1)
        reader.pause(at)
        reader.unassign()
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        self.nothing(reader, 1.0)
        reader.resume(at)
        (record,) = self.until_records(place, reader, 1)
        assert record.offset() == 0

    def test_28_a_resume_without_a_pause_changes_nothing(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        self.write(place, topic, [b"1", b"2", b"3"])
        reader = self.consumer(place, consumers, topic)
        reader.incremental_assign([TopicPartition(topic, 0, 1)])
        reader.resume([TopicPartition(topic, 0, 1)])
        assert [record.offset() for record in self.until_records(place, reader, 1)] == [1]
        reader.resume([TopicPartition(topic, 0)])
        assert [record.offset() for record in self.until_records(place, reader, 1)] == [2]

    def test_29_seek_drops_what_was_read_ahead(self, place: Place, topic: str, consumers: list[Any]) -> None:
        self.write(place, topic, [b"%d" % number for number in range(100)])
        reader = self.consumer(place, consumers, topic)
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        self.until_records(place, reader, 10)
        reader.seek(TopicPartition(topic, 0, 50))
        assert [record.offset() for record in self.until_records(place, reader, 5)] == list(range(50, 55))

    def test_30_the_position_is_after_the_last_record_given(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        self.write(place, topic, [b"1", b"2", b"3"])
        reader, at = self.consumer(place, consumers, topic), [TopicPartition(topic, 0)]
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        assert reader.position(at)[0].offset == OFFSET_INVALID
        self.until_records(place, reader, 2)
        assert reader.position(at)[0].offset == 2

    def test_31_partitions_come_and_go_one_by_one_and_no_other_is_disturbed(
        self, place: Place, wide: str, consumers: list[Any]
    ) -> None:
        producer = self.producer(place)
        for partition, number in itertools.product(range(2), range(5)):
            producer.produce(wide, b"%d" % number, b"key", partition=partition)
        producer.flush(WITHIN_S)
        reader = self.consumer(place, consumers, wide)
        reader.incremental_assign([TopicPartition(wide, 0, 2)])
        assert [record.offset() for record in self.until_records(place, reader, 3)] == [2, 3, 4]
        reader.incremental_assign([TopicPartition(wide, 1, OFFSET_BEGINNING)])
        with pytest.raises(KafkaException) as raised:
            reader.incremental_assign([TopicPartition(wide, 1, 0), TopicPartition(wide, 2, 0)])
        assert cause(raised.value).code() == KafkaError._CONFLICT
        assert [record.offset() for record in self.until_records(place, reader, 5)] == [0, 1, 2, 3, 4]
        with pytest.raises(KafkaException) as raised:
            reader.incremental_unassign([TopicPartition(wide, 1), TopicPartition(wide, 2)])
        assert cause(raised.value).code() == KafkaError._INVALID_ARG
        reader.incremental_unassign([TopicPartition(wide, 1)])
        assert [at.partition for at in reader.assignment()] == [0]
        reader.incremental_unassign([])

    def test_32_a_closed_consumer_is_closed(self, place: Place, topic: str, consumers: list[Any]) -> None:
        reader = self.consumer(place, consumers, topic)
        reader.close()
        with pytest.raises(RuntimeError):
            reader.consume(1, 0.1)
        reader.close()

    def test_33_deleted_records_are_gone(self, place: Place, topic: str, consumers: list[Any]) -> None:
        self.write(place, topic, [b"%d" % number for number in range(10)])
        admin = place.clients.admin(admin_config(place.address))
        answers = admin.delete_records([TopicPartition(topic, 0, 4)], request_timeout=10)
        for future in answers.values():
            future.result(10)
        reader = self.consumer(place, consumers, topic, auto_offset_reset="error")
        assert reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=10) == (4, 10)
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        assert self.until_records(place, reader, 1)[0].offset() == 4
        reader.assign([TopicPartition(topic, 0, 3)])
        self.until(place, lambda: KafkaError._AUTO_OFFSET_RESET in codes_of(reader.consume(10, TURN_S)))

    def test_34_compaction_keeps_the_last_record_of_each_key_at_its_offset(
        self, place: Place, unique: str, consumers: list[Any]
    ) -> None:
        compacted = self.create(
            place,
            f"compacted-{unique}",
            1,
            cleanup_policy="compact",
            segment_ms="100",
            min_cleanable_dirty_ratio="0.01",
        )
        for number in range(5):
            self.write(place, compacted, [b"%d" % number], b"a")
        self.write(place, compacted, [b"b"], b"b")
        place.pause(0.5)
        self.write(place, compacted, [b"end"], b"end")  # in a segment of its own, which is not compacted
        place.compact(compacted)
        reader = self.consumer(place, consumers, compacted, auto_offset_reset="error")
        assert reader.get_watermark_offsets(TopicPartition(compacted, 0), timeout=10) == (0, 7)
        reader.assign([TopicPartition(compacted, 0, 1)])
        records = [(record.offset(), record.value()) for record in self.until_records(place, reader, 3)]
        assert records == [(4, b"4"), (5, b"b"), (6, b"end")]
