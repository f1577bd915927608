"""Tails topics without a consumer group, from their beginning or from their end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from shared.kafka import KAFKA, cause, consumer_config, refused
from shared.kafka_reader import PartitionId, partitions_of, watermarks

_BATCH: Final = 2_000
# Between two polls of a run that has its parts to look after; a living broker answers within a moment.
_ASK_S: Final = 1.0
_NOTHING_CAME: Final = "nothing came"


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
        self._consumer = KAFKA.consumer({**config, "enable.partition.eof": True, "log_level": 0})
        self._topics = tuple(topics)
        # Not `Consumer.position`: it counts the notice of a partition's end as a record.
        self._next: dict[PartitionId, int] = {}
        self._unread = set[PartitionId]()  # of these the end that was asked for is not reached
        self._to_ask = False
        self._trouble = _NOTHING_CAME
        try:
            for topic in topics:
                for partition in partitions_of(self._consumer, topic):
                    start = OFFSET_BEGINNING if from_beginning else self._end((topic, partition))
                    self._next[topic, partition] = start
            self._assign()
        except KafkaException as error:
            raise refused(error) from None

    def poll(self, timeout_s: float) -> Iterator[tuple[str, bytes]]:
        """Topic and value of each new record; waits `timeout_s` for the first.

        Raises:
            BrokerError: the broker refuses.
        """
        self._ask_if_due()
        try:
            records = self._consumer.consume(_BATCH, timeout_s)
        except KafkaException as error:
            raise refused(error) from None
        for record in records:
            topic, value, fault = record.topic() or "", record.value(), record.error()
            partition, offset = (topic, record.partition() or 0), record.offset() or 0
            if fault is None:
                self._next[partition] = offset + 1
                if value is not None:
                    yield topic, value
            elif fault.code() == KafkaError._PARTITION_EOF:
                self._next[partition] = offset
                self._unread.discard(partition)
            else:
                # The services report errors of the broker; here they say why an end is not reached.
                self._trouble = fault.str()

    def ask_ends(self) -> None:
        """Ask where the topics end from now on; what is before that comes by `poll`.

        The broker says it by a fetch that finds nothing more: its watermarks may lag (STACK.md §4.3), and
        records that compaction or a transaction left out have no part in it.
        """
        if not self.unread:
            self._trouble = _NOTHING_CAME
        self._to_ask = True

    @property
    def unread(self) -> Mapping[str, str]:
        """Topics that were not read to the ends that were asked for last, and why."""
        behind = self._topics if self._to_ask else {topic for topic, _ in self._unread}
        return dict.fromkeys(sorted(behind), self._trouble)

    def _ask_if_due(self) -> None:
        if not self._to_ask:
            return
        for topic in self._topics:
            try:
                numbers = partitions_of(self._consumer, topic, _ASK_S)
            except KafkaException as error:
                self._trouble = cause(error).str()
                return
            # One that was added since the start is of this run as a whole.
            for number in numbers:
                self._next.setdefault((topic, number), OFFSET_BEGINNING)
        if {topic for topic, _ in self._next} != set(self._topics):
            self._trouble = "a topic has no partitions"
            return
        # A new assignment is fetched anew, and each partition tells its end again.
        self._assign()
        self._unread, self._to_ask = set(self._next), False

    def _assign(self) -> None:
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._next.items()])

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
