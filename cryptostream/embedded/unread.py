"""Records of best prices and books that the consumers have not yet stored: no ledger counts them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from consumers.streams import Stream, streams
from shared.errors import BrokerUnavailable
from shared.kafka import LIBRDKAFKA_LOG, cause, consumer_config

_UNCOUNTED: Final = ("quotes", "book")
_TIMEOUT_S: Final = 5.0
_BATCH: Final = 1_000
# More than these need not be told apart.
_MOST: Final = 10_000


class Unread:
    """Reads from where each group has committed to where the topic ends.

    The end is that of a fetch: what the broker in memory says of its watermarks is not to be trusted
    (STACK.md §4.3). Offsets are committed after the store has acknowledged (DESIGN §5.2).
    """

    def __init__(self, address: str, *, memory: bool) -> None:
        self._address = address
        self._memory = memory

    def count(self) -> int:
        """How many records there are that no group has stored; stops counting at 10,000.

        Raises:
            BrokerUnavailable: it does not say within 5 s.
        """
        return sum(self._of(stream) for stream in streams(_UNCOUNTED, (), memory_broker=self._memory))

    def _of(self, stream: Stream) -> int:
        config = consumer_config(
            self._address, stream.group, "cryptostream-run-unread", memory_broker=self._memory
        )
        consumer = Consumer({**config, "enable.partition.eof": True, "log_level": 0}, logger=LIBRDKAFKA_LOG)
        try:
            return self._beyond(consumer, self._committed(consumer, stream.topic))
        except KafkaException as error:
            raise BrokerUnavailable(
                f"{stream.topic}: the broker does not say what is stored ({cause(error).str()})"
            ) from None
        finally:
            consumer.close()

    @staticmethod
    def _committed(consumer: Consumer, topic: str) -> list[TopicPartition]:
        known = consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions
        places = consumer.committed([TopicPartition(topic, number) for number in known], timeout=_TIMEOUT_S)
        return [
            TopicPartition(topic, at.partition, at.offset if at.offset >= 0 else OFFSET_BEGINNING)
            for at in places
        ]

    @staticmethod
    def _beyond(consumer: Consumer, places: Sequence[TopicPartition]) -> int:
        consumer.assign(list(places))
        open_ends = {at.partition for at in places}
        unread, deadline_s = 0, time.monotonic() + _TIMEOUT_S
        while open_ends and unread < _MOST:
            if time.monotonic() > deadline_s:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            for record in consumer.consume(_BATCH, 0.2):
                error = record.error()
                if error is None:
                    unread += 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_ends.discard(record.partition())
        return unread
