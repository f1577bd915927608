"""Tails topics without a consumer group, from their beginning or from their end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

from shared.kafka import KAFKA, consumer_config, refused
from shared.kafka_reader import PartitionId, partitions_of, watermarks

_BATCH: Final = 2_000


class TopicTail:
    """Reads topics from now on, or from their beginning.

    Args:
        group: never joined; the client is named after it.
        memory: it is a memory broker.
    """

    def __init__(
        self, address: str, topics: Sequence[str], group: str, *, from_beginning: bool, memory: bool = False
    ) -> None:
        """Raises:
        BrokerError: the broker refuses, or does not say where a topic ends.
        """
        config = consumer_config(address, group, group.replace(".", "-"), memory_broker=memory)
        # The services report a lost broker; this client's log would repeat it.
        self._consumer = KAFKA.consumer({**config, "log_level": 0})
        starts = []
        try:
            for topic in topics:
                for partition in partitions_of(self._consumer, topic):
                    start = OFFSET_BEGINNING if from_beginning else self._end((topic, partition))
                    starts.append(TopicPartition(topic, partition, start))
            self._consumer.assign(starts)
        except KafkaException as error:
            raise refused(error) from None

    def poll(self, timeout_s: float) -> Iterator[tuple[str, bytes]]:
        """Topic and value of each new record; waits `timeout_s` for the first.

        Raises:
            BrokerError: the broker refuses.
        """
        try:
            records = self._consumer.consume(_BATCH, timeout_s)
        except KafkaException as error:
            raise refused(error) from None
        for record in records:
            topic, value = record.topic(), record.value()
            # The services report errors of the broker.
            if record.error() is None and topic is not None and value is not None:
                yield topic, value

    def close(self) -> None:
        self._consumer.close()

    def _end(self, partition: PartitionId) -> int:
        """Raises:
        BrokerUnavailable: the partition has no leader for 10 s; a new topic needs a moment.
        """
        topic, _ = partition
        return watermarks(
            self._consumer,
            partition,
            lambda reason: (
                f"{topic}: the broker does not say where it ends ({reason}); "
                "see its log, or take --broker memory"
            ),
            patient=True,
        )[1]
