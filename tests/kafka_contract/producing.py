"""Cases 1 to 19: records that are written."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_LOG_APPEND_TIME,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from shared.kafka import cause
from shared.partitioner import partition_of
from tests.kafka_contract.base import (
    WITHIN_S,
    Cases,
    Place,
    Reports,
)


class Producing(Cases):
    """Run by the contract."""

    def test_01_records_of_a_partition_keep_their_order_and_are_reported_with_their_offsets(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        values = [b"%d" % number for number in range(2_000)]
        reports = self.write(place, topic, values)
        assert reports.told == [(None, 0, offset) for offset in range(2_000)]
        reader = self.consumer(place, consumers, topic)
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        records = self.read(place, reader, 2_000)
        assert [record.value() for record in records] == values
        assert [record.offset() for record in records] == list(range(2_000))

    def test_02_a_key_lands_where_javas_murmur2_puts_it(self, place: Place, wide: str) -> None:
        keys = [b"binance:BTCUSDC", b"a", b"", "kraken:ÉTH".encode(), *(b"key-%d" % at for at in range(40))]
        producer, found = self.producer(place), {}
        for key in keys:
            producer.produce(
                wide, b"", key, on_delivery=lambda _, record: found.update({record.key(): record})
            )
        producer.flush(WITHIN_S)
        assert {key: record.partition() for key, record in found.items() if key} == {
            key: partition_of(key, 4) for key in keys if key
        }

    def test_03_a_partition_may_be_named(self, place: Place, wide: str) -> None:
        producer, reports = self.producer(place), Reports()
        for partition in (2, 0, 2):
            producer.produce(wide, b"value", b"key", partition=partition, on_delivery=reports)
        producer.flush(WITHIN_S)
        assert sorted(reports.told) == [(None, 0, 0), (None, 2, 0), (None, 2, 1)]

    def test_04_reports_come_within_poll_and_flush_alone_and_records_count_until_then(
        self, place: Place, topic: str
    ) -> None:
        producer, reports = self.producer(place), Reports()
        for _ in range(3):
            producer.produce(topic, b"value", b"key", on_delivery=reports)
        producer.produce(topic, b"value", b"key")
        place.pause(1.0)
        # Besides the records the reports of their batch count.
        assert (reports.told, len(producer)) == ([], 5)
        self.until(place, lambda: producer.poll(0.1) == 0 and not len(producer))
        assert reports.offsets == [0, 1, 2]

    def test_05_a_full_queue_raises_and_has_room_again_once_reports_are_served(
        self, place: Place, topic: str
    ) -> None:
        producer = self.producer(place, queue_buffering_max_messages=10)
        for _ in range(10):
            producer.produce(topic, b"value", b"key")
        with pytest.raises(BufferError):
            producer.produce(topic, b"value", b"key")
        assert producer.flush(WITHIN_S) == 0
        producer.produce(topic, b"value", b"key")
        assert producer.flush(WITHIN_S) == 0

    def test_06_records_keep_headers_and_may_have_neither_key_nor_value(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        producer = self.producer(place)
        producer.produce(topic, b"value", "key", headers=[("reason", b"a test")])
        producer.produce(topic, None, b"key")
        producer.produce(topic, "text")
        producer.flush(WITHIN_S)
        reader = self.consumer(place, consumers, topic)
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        records = self.read(place, reader, 3)
        assert [(record.key(), record.value(), record.headers()) for record in records] == [
            (b"key", b"value", [("reason", b"a test")]),
            (b"key", None, None),
            (None, b"text", None),
        ]

    def test_07_time_is_the_brokers_and_never_falls(
        self, place: Place, topic: str, consumers: list[Any]
    ) -> None:
        self.write(place, topic, [b"1"])
        place.pause(0.5)
        self.write(place, topic, [b"2"])
        reader = self.consumer(place, consumers, topic)
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        (kind, first_ms), (_, second_ms) = (each.timestamp() for each in self.read(place, reader, 2))
        assert kind == TIMESTAMP_LOG_APPEND_TIME
        assert 400 <= second_ms - first_ms < 10_000

    def test_08_a_record_that_the_broker_refuses_fails_alone_without_a_guarantee_of_no_gaps(
        self, place: Place, unique: str
    ) -> None:
        narrow = self.create(place, f"narrow-{unique}", 1, max_message_bytes="1000")
        producer, reports = self.producer(place, compression_type="none"), Reports()
        for size in (10, 5_000, 10):
            producer.produce(narrow, b"x" * size, b"key", on_delivery=reports)
            producer.flush(WITHIN_S)
        assert [(error, offset) for error, _, offset in reports.told] == [
            (None, 0),
            (KafkaError.MSG_SIZE_TOO_LARGE, reports.told[1][2]),
            (None, 1),
        ]

    def test_09_with_the_guarantee_it_ends_the_producer(self, place: Place, unique: str) -> None:
        narrow = self.create(place, f"narrow-{unique}", 1, max_message_bytes="1000")
        producer = self.producer(place, compression_type="none", enable_gapless_guarantee=True)
        producer.produce(narrow, b"x" * 5_000, b"key")
        with pytest.raises(KafkaException) as raised:
            self.until(place, lambda: producer.poll(0.1) < 0)
        assert cause(raised.value).fatal()
        assert cause(raised.value).code() == KafkaError._GAPLESS_GUARANTEE
        with pytest.raises(KafkaException) as raised:
            producer.produce(narrow, b"x", b"key")
        assert cause(raised.value).code() == KafkaError._FATAL

    def test_10_a_record_larger_than_the_client_allows_is_refused_at_once(
        self, place: Place, topic: str
    ) -> None:
        with pytest.raises(KafkaException) as raised:
            self.producer(place).produce(topic, b"x" * 2_000_000, b"key")
        assert cause(raised.value).code() == KafkaError.MSG_SIZE_TOO_LARGE

    def test_11_records_for_an_unknown_topic_fail_after_a_while(self, place: Place, unique: str) -> None:
        producer = self.producer(place, topic_metadata_propagation_max_ms=2_000)
        reports = Reports()
        producer.produce(f"no-{unique}", b"value", b"key", on_delivery=reports)
        self.until(place, lambda: producer.poll(0.1) or reports.told)
        assert [error for error, _, _ in reports.told] == [KafkaError.UNKNOWN_TOPIC_OR_PART]
