"""The consumers' lag on best prices and books, which no ledger counts."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from consumers.streams import Stream, streams
from shared.errors import BrokerUnavailable
from shared.kafka import KAFKA, cause, consumer_config
from shared.kafka_reader import PartitionId, partitions_of, passed_over, read_to_end

_UNCOUNTED: Final = ("quotes", "book")
_TIMEOUT_S: Final = 5.0
_BATCH: Final = 1_000
# Counting stops here.
_MOST: Final = 10_000


class ConsumerLag:
    """Reads from each group's committed offset to the end of its topic.

    A fetch finds the end, since the memory broker's watermarks are not reliable (STACK.md §4.3). Offsets are
    committed after the store has acknowledged (DESIGN §5.2).
    """

    def __init__(self, address: str, *, memory: bool) -> None:
        self._address = address
        self._memory = memory

    def count(self) -> int:
        """The number of records that are not stored; counting stops at 10,000.

        Raises:
            BrokerUnavailable: no answer within 5 s.
        """
        return sum(self._of(stream) for stream in streams(_UNCOUNTED, (), memory_broker=self._memory))

    def _of(self, stream: Stream) -> int:
        config = consumer_config(
            self._address, stream.group, "cryptostream-run-unread", memory_broker=self._memory
        )
        consumer = KAFKA.consumer({**config, "enable.partition.eof": True, "log_level": 0})
        try:
            return self._beyond(consumer, stream.topic, self._committed(consumer, stream.topic))
        except KafkaException as error:
            raise BrokerUnavailable(_no_answer(stream.topic, cause(error))) from None
        finally:
            consumer.close()

    @staticmethod
    def _committed(consumer: Consumer, topic: str) -> dict[PartitionId, int]:
        known = partitions_of(consumer, topic, _TIMEOUT_S)
        places = consumer.committed([TopicPartition(topic, number) for number in known], timeout=_TIMEOUT_S)
        return {(topic, at.partition): at.offset if at.offset >= 0 else OFFSET_BEGINNING for at in places}

    @staticmethod
    def _beyond(consumer: Consumer, topic: str, committed: Mapping[PartitionId, int]) -> int:
        records = read_to_end(
            consumer,
            committed,
            silent=_no_answer(topic, KafkaError(KafkaError._TIMED_OUT)),
            unreadable=passed_over,
            batch=_BATCH,
            patience_s=_TIMEOUT_S,
            in_all=True,
        )
        return sum(1 for _ in islice(records, _MOST))


def _no_answer(topic: str, error: KafkaError) -> str:
    return f"{topic}: the broker does not say what is stored ({error.str()})"
