"""Requests the offsets of the assigned partitions: committed offsets, bounds, leader epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from consumers.enrich.port import Known
from consumers.marks import Mark, Trail, without_marks
from consumers.partitions.states import States
from shared.errors import BrokerUnavailable
from shared.kafka import KAFKA, KafkaClients, admin_config, cause
from shared.kafka_reader import watermarks

REQUEST_TIMEOUT_S: Final = 10.0

# By topic and partition.
Epochs = dict[tuple[str, int], int]
# By partition, the newest mark that holds.
Prove = Callable[[Mapping[int, Trail]], Mapping[int, Mark | None]]


def known_of(
    consumer: Consumer,
    partitions: Sequence[TopicPartition],
    *,
    states: States,
    now_ms: int,
    memory_broker: bool = False,
    prove: Prove | None = None,
) -> dict[int, Known]:
    """By partition number, everything that decides where to read one topic's partitions from.

    Args:
        prove: None to trust the committed offsets.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    try:
        committed = {
            at.partition: at for at in consumer.committed(list(partitions), timeout=REQUEST_TIMEOUT_S)
        }
        bounds = {at.partition: bounds_of(consumer, at.topic, at.partition) for at in partitions}
    except KafkaException as error:
        raise BrokerUnavailable(f"Kafka does not tell offsets: {cause(error).str()}") from None
    metadata = {partition: without_marks(at.metadata or "") for partition, at in committed.items()}
    marked = {partition: trail for partition, (_, trail) in metadata.items() if trail.marks}
    proved = prove(marked) if prove is not None and marked else {}
    known = {}
    for partition, (low, high) in bounds.items():
        at = committed[partition]
        text, trail = metadata[partition]
        mark = proved.get(partition)
        known[partition] = Known(
            low,
            # The memory broker's end of a partition is unreliable (STACK.md §4.3).
            2**63 - 1 if memory_broker else high,
            committed=at.offset if at.offset >= 0 else None,
            metadata=text,
            trail=trail,
            # No mark holds: nothing is known about the records.
            proved=mark.position if mark is not None else (0 if partition in proved else None),
            snapshots=states.get(partition, {}),
            now_ms=now_ms,
        )
    return known


def epochs_of(
    config: dict[str, Any], partitions: Sequence[TopicPartition], kafka: KafkaClients = KAFKA
) -> Epochs:
    """The leader epochs of partitions, which rise whenever a broker was down.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    epochs, failure = told_epochs(config, partitions, kafka, REQUEST_TIMEOUT_S)
    if failure is not None:
        raise BrokerUnavailable(f"Kafka does not tell the epochs of its leaders: {failure}")
    return epochs


def told_epochs(
    config: dict[str, Any], partitions: Sequence[TopicPartition], kafka: KafkaClients, within_s: float
) -> tuple[Epochs, str | None]:
    """Those epochs that are told in time, and why others are not, as of a partition without a leader."""
    # Any: the published types lack the request's time-out and the epoch.
    admin: Any = kafka.admin(admin_config(config["bootstrap.servers"]))
    asked = {TopicPartition(at.topic, at.partition): OffsetSpec.latest() for at in partitions}
    epochs: Epochs = {}
    failure: str | None = None
    for at, future in admin.list_offsets(asked, request_timeout=within_s).items():
        try:
            epoch = future.result(within_s).leader_epoch
        except KafkaException as error:
            failure = cause(error).str()
        except TimeoutError:
            failure = "no answer"
        else:
            if epoch is not None:
                epochs[at.topic, at.partition] = epoch
    return epochs, failure


def end_of(consumer: Consumer, topic: str, partition: int) -> int:
    """Offset of the next record to come. Raises BrokerUnavailable."""
    return bounds_of(consumer, topic, partition)[1]


def bounds_of(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """First offset of a partition, and that of the next record to come. Raises BrokerUnavailable.

    Asks again: a broker that has just come back knows its partitions a moment later than its groups.
    """
    return watermarks(
        consumer,
        (topic, partition),
        lambda reason: f"{topic}: Kafka does not tell its offsets: {reason}",
        within_s=REQUEST_TIMEOUT_S,
        patient=True,
    )
