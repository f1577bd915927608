"""Reads a broker's metadata, and topics up to their present end, outside of consumer groups.

The functions take any client and the caller's error texts; `TopicReader` is a client itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata

from shared.errors import BrokerError, BrokerUnavailable, SettingsError
from shared.kafka import KAFKA, KafkaClients, cause, consumer_config, is_fatal
from shared.settings import Settings

Answer = TypeVar("Answer")
PartitionId = tuple[str, int]  # topic and partition
# The text of an error, by its reason.
Words = Callable[[str], str]
# The text of an error that came instead of a record; None to read on.
Unreadable = Callable[[KafkaError], str | None]

ANSWER_S: Final = 10.0
# A person waits for the answer; a living broker gives it within a second.
_CONNECT_S: Final = 5.0
_AGAIN_S: Final = 0.2
_SILENCE_S: Final = 30.0
_BATCH: Final = 5_000
_POLL_S: Final = 0.2
# Cluster id of librdkafka's in-memory broker, which keeps neither progress nor a ledger (STACK.md §4.3).
_MEMORY_BROKER: Final = "mockCluster"
_NOT_THERE: Final = frozenset(
    (
        KafkaError._PARTITION_EOF,
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError._LOG_TRUNCATION,
        KafkaError.OFFSET_OUT_OF_RANGE,
    )
)


def broker_address(settings: Settings) -> str:
    """Address of the broker. Raises SettingsError if it is not set."""
    if not settings.kafka_bootstrap_servers:
        raise SettingsError("KAFKA_BOOTSTRAP_SERVERS: not set; name the broker as host:port")
    return settings.kafka_bootstrap_servers


def no_answer(bootstrap_servers: str) -> str:
    """The error of a broker that cannot be reached."""
    return (
        f"KAFKA_BOOTSTRAP_SERVERS: no Kafka answers at {bootstrap_servers}; start it or name another address"
    )


def does_not_answer(bootstrap_servers: str) -> Words:
    """The error of a broker that is reachable and does not answer a request."""
    return lambda reason: (
        f"KAFKA_BOOTSTRAP_SERVERS: {bootstrap_servers} does not answer ({reason});"
        " see whether the broker is well"
    )


def cluster(client: AdminClient | Consumer, *, silent: str, within_s: float = ANSWER_S) -> ClusterMetadata:
    """Brokers and topics.

    Raises:
        BrokerUnavailable: no Kafka answers; says `silent`.
    """
    try:
        return client.list_topics(timeout=within_s)
    except KafkaException:
        raise BrokerUnavailable(silent) from None


def answered(
    ask: Callable[[], Answer], words: Words, *, within_s: float = ANSWER_S, patient: bool = False
) -> Answer:
    """The broker's answer; asked again while it is not ready, as right after a topic was created.

    Args:
        patient: retry otherwise fatal errors too: a broker that has just come back knows its partitions a
            moment later than its groups.

    Raises:
        BrokerUnavailable: it does not answer within `within_s`, or refuses.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            return ask()
        except KafkaException as exception:
            error = cause(exception)
            fatal = is_fatal(error) and not patient
            if fatal or time.monotonic() >= deadline:
                raise BrokerUnavailable(words(error.str())) from None
        time.sleep(_AGAIN_S)


def watermarks(
    consumer: Consumer,
    partition: PartitionId,
    words: Words,
    *,
    within_s: float = ANSWER_S,
    patient: bool = False,
) -> tuple[int, int]:
    """First offset of a partition, and that of the next record to come. As `answered`."""
    at = TopicPartition(*partition)
    low, high = answered(
        lambda: consumer.get_watermark_offsets(at, timeout=within_s),
        words,
        within_s=within_s,
        patient=patient,
    )
    return int(low), int(high)


def partitions_of(consumer: Consumer, topic: str, within_s: float = ANSWER_S) -> list[int]:
    """Partition numbers of an existing topic. Raises KafkaException."""
    return sorted(consumer.list_topics(topic, timeout=within_s).topics[topic].partitions)


def passed_over(_error: KafkaError) -> None:
    """Read on after every error, until the time-out."""


def fatal_alone(what: str) -> Unreadable:
    """Stop at a fatal error, with `what` and the broker's words."""
    return lambda error: f"{what}: {error.str()}" if is_fatal(error) else None


def _went_back(topic: str, partition: int) -> str:
    return f"topic {topic} partition {partition} lost its end while it was read; it has to be read again"


def read_to_end(
    consumer: Consumer,
    starts: Mapping[PartitionId, int],
    *,
    silent: str,
    unreadable: Unreadable,
    batch: int = _BATCH,
    poll_s: float = _POLL_S,
    patience_s: float = _SILENCE_S,
    in_all: bool = False,
    enough: Callable[[str, int], bool] | None = None,
) -> Iterator[Message]:
    """All records from these offsets to the present ends of their partitions, which stay assigned.

    A partition that has given enough is no longer assigned. It is not paused: librdkafka keeps a pause across
    assignments, and a resume at the next one may come too early (2.8, on a busy machine).

    Args:
        consumer: with `enable.partition.eof`.
        silent: what `BrokerUnavailable` says.
        unreadable: what `BrokerError` says of an error that came instead of a record; None to read on.
        poll_s: how long to wait for a full batch.
        patience_s: how long the broker may be silent, or with `in_all` how long the whole may take.
        enough: whether a partition has given enough; asked after each batch.

    Raises:
        BrokerUnavailable: the ends are not reached in time; or a partition lost its end meanwhile, with
            records that were given: all has to be read again.
        BrokerError: as `unreadable` says.
    """
    unread, left = set(starts), set[PartitionId]()
    newest: dict[PartitionId, int] = {}
    consumer.assign([TopicPartition(*partition, offset) for partition, offset in starts.items()])
    deadline = time.monotonic() + patience_s
    while unread:
        messages = consumer.consume(batch, poll_s)
        for message in messages:
            error = message.error()
            partition = message.topic() or "", message.partition() or 0
            if partition in left:
                continue
            if error is None:
                offset = message.offset() or 0
                if offset <= newest.get(partition, -1):
                    raise BrokerUnavailable(_went_back(*partition))
                newest[partition] = offset
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                unread.discard(partition)
            elif (words := unreadable(error)) is not None:
                raise BrokerError(words)
        if enough is not None:
            done = {each for each in unread if enough(*each)}
            _leave(consumer, done)
            left |= done
            unread -= done
        if messages and not in_all:
            # Set after the records were yielded: their consumer may be slow.
            deadline = time.monotonic() + patience_s
        elif time.monotonic() > deadline:
            raise BrokerUnavailable(silent)


def records_at(
    consumer: Consumer,
    offsets: Mapping[PartitionId, int],
    silent: Callable[[PartitionId], str],
    *,
    within_s: float,
) -> dict[PartitionId, Message | None]:
    """The record at one offset of each of these partitions; None where there is none.

    Args:
        consumer: with `enable.partition.eof`.
        silent: what the error says of a partition whose record the broker does not give.

    Raises:
        BrokerUnavailable: not within `within_s`.
    """
    consumer.assign([TopicPartition(*partition, offset) for partition, offset in offsets.items()])
    found: dict[PartitionId, Message | None] = {}
    deadline = time.monotonic() + within_s
    while len(found) < len(offsets):
        if time.monotonic() > deadline:
            raise BrokerUnavailable(silent(min(offsets.keys() - found.keys())))
        for message in consumer.consume(len(offsets) - len(found), _POLL_S):
            partition = message.topic() or "", message.partition() or 0
            error = message.error()
            # The end of the partition, or an offset that is gone: the record does not exist.
            if partition not in offsets or partition in found or (error and error.code() not in _NOT_THERE):
                continue
            found[partition] = message if error is None and message.offset() == offsets[partition] else None
            _leave(consumer, [partition])
    consumer.unassign()
    return found


def _leave(consumer: Consumer, partitions: Collection[PartitionId]) -> None:
    if partitions:
        consumer.incremental_unassign([TopicPartition(*partition) for partition in partitions])


class TopicReader:
    """A connection to a real broker; commits nothing.

    Attributes:
        brokers: number of brokers in the cluster.

    Raises:
        BrokerUnavailable: no broker answers.
        BrokerError: it is the in-memory one, which keeps nothing to read.
    """

    def __init__(self, bootstrap_servers: str, kafka: KafkaClients = KAFKA) -> None:
        self._kafka = kafka
        self.bootstrap_servers = bootstrap_servers
        config: dict[str, Any] = {
            **consumer_config(bootstrap_servers, "cryptostream.command", "cryptostream-command"),
            "enable.partition.eof": True,
            "log_level": 0,
        }
        self._config = config
        self._words = does_not_answer(bootstrap_servers)
        self._consumer = kafka.consumer(config)
        try:
            metadata = cluster(self._consumer, silent=no_answer(bootstrap_servers), within_s=_CONNECT_S)
            if str(getattr(metadata, "cluster_id", "")).startswith(_MEMORY_BROKER):
                raise BrokerError(
                    f"KAFKA_BOOTSTRAP_SERVERS: {bootstrap_servers} is an in-memory broker, which keeps"
                    " nothing; this needs a real Kafka (cryptostream run --broker kafka)"
                )
        except BrokerError:
            self._consumer.close()
            raise
        self.brokers = len(metadata.brokers)
        self._partitions = {name: sorted(topic.partitions) for name, topic in metadata.topics.items()}

    def close(self) -> None:
        self._consumer.close()

    def another(self, config: Mapping[str, Any]) -> Consumer:
        """A second client, with these settings besides; the caller closes it."""
        return self._kafka.consumer({**self._config, **config})

    def has(self, topic: str) -> bool:
        return topic in self._partitions

    def bounds(self, topic: str) -> dict[PartitionId, tuple[int, int]]:
        """First readable offset and that of the next record to come, of each partition.

        Raises:
            BrokerError: the topic does not exist.
        """
        if topic not in self._partitions:
            raise BrokerError(
                f"topic {topic} does not exist on {self.bootstrap_servers};"
                " create the topics with: cryptostream topics"
            )
        partitions = [(topic, number) for number in self._partitions[topic]]
        return {partition: watermarks(self._consumer, partition, self._words) for partition in partitions}

    def offsets_at(self, topic: str, time_ms: int) -> dict[PartitionId, int]:
        """Offset of the first record of each partition that the broker took at `time_ms` or later."""
        ends = self.bounds(topic)
        asked = [TopicPartition(topic, number, time_ms) for _, number in ends]
        found = answered(lambda: self._consumer.offsets_for_times(asked, timeout=ANSWER_S), self._words)
        return {
            (topic, at.partition): at.offset if at.offset >= 0 else ends[topic, at.partition][1]
            for at in found
        }

    def whole(self, topic: str) -> Iterator[Message]:
        """All records of a topic. As `to_end`."""
        return self.to_end({partition: low for partition, (low, _) in self.bounds(topic).items()})

    def to_end(self, starts: Mapping[PartitionId, int]) -> Iterator[Message]:
        """All records from these offsets to the ends of their partitions; `more` goes on from there.

        Raises:
            BrokerError, BrokerUnavailable: they cannot be read.
        """
        return read_to_end(
            self._consumer,
            starts,
            silent=f"KAFKA_BOOTSTRAP_SERVERS: {self.bootstrap_servers} has been silent for "
            f"{_SILENCE_S:.0f} s; see whether the broker is well",
            unreadable=fatal_alone(f"Kafka at {self.bootstrap_servers}: cannot be read"),
        )

    def more(self, timeout_s: float = _POLL_S) -> list[Message]:
        """Records that came since; waits up to `timeout_s`."""
        return [message for message in self._consumer.consume(_BATCH, timeout_s) if message.error() is None]
