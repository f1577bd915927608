"""What Kafka knows of the partitions that are assigned to us: offsets, bounds, state records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from consumers.enrich.kline_series import is_snapshot, snapshot_time_ms
from consumers.enrich.port import Known
from consumers.ledger_snapshot import Restart
from consumers.ledger_start import ONE_EVENT, restarts
from consumers.marks import Mark, Trail, without_marks
from shared.errors import BrokerUnavailable
from shared.kafka import LIBRDKAFKA_LOG, cause, quiet_consumer

REQUEST_TIMEOUT_S: Final = 10.0
_AGAIN_S: Final = 0.2
# 50 series a partition at 16 kB, and a few not yet compacted copies of each, are read in well under a second.
_RESTORE_TIMEOUT_S: Final = 120.0

States = dict[int, dict[bytes, bytes]]
Replaces = Callable[[bytes, bytes], bool]
# By topic and partition.
Epochs = dict[tuple[str, int], int]
# By partition, the newest mark that is true.
Prove = Callable[[Mapping[int, Trail]], Mapping[int, Mark | None]]
# By topic, how many partitions it has.
Counts = Callable[[dict[str, Any], Iterable[str]], dict[str, int]]


def known_of(
    consumer: Consumer,
    partitions: Sequence[TopicPartition],
    *,
    states: States,
    now_ms: int,
    memory_broker: bool = False,
    prove: Prove | None = None,
) -> dict[int, Known]:
    """By partition number, all that decides where to read one topic's partitions from.

    Args:
        prove: None to believe what is committed.

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
    noted = {partition: without_marks(at.metadata or "") for partition, at in committed.items()}
    marked = {partition: trail for partition, (_, trail) in noted.items() if trail.marks}
    proved = prove(marked) if prove is not None and marked else {}
    known = {}
    for partition, (low, high) in bounds.items():
        at = committed[partition]
        metadata, trail = noted[partition]
        mark = proved.get(partition)
        known[partition] = Known(
            low,
            # The memory broker's end of a partition is not to be trusted (STACK.md §4.3).
            2**63 - 1 if memory_broker else high,
            committed=at.offset if at.offset >= 0 else None,
            metadata=metadata,
            trail=trail,
            # Not one mark is true: nothing is known of what is there.
            proved=mark.position if mark is not None else (0 if partition in proved else None),
            snapshots=states.get(partition, {}),
            now_ms=now_ms,
        )
    return known


def epochs_of(config: dict[str, Any], partitions: Sequence[TopicPartition]) -> Epochs:
    """The leader epochs of partitions: they rise whenever a broker has been away.

    Raises:
        BrokerUnavailable: the broker does not tell.
    """
    # Any: the published types know neither the request's time-out nor the epoch.
    admin: Any = AdminClient(
        {"bootstrap.servers": config["bootstrap.servers"], "log_level": 0}, logger=LIBRDKAFKA_LOG
    )
    asked = {TopicPartition(at.topic, at.partition): OffsetSpec.latest() for at in partitions}
    epochs: Epochs = {}
    try:
        for at, future in admin.list_offsets(asked, request_timeout=REQUEST_TIMEOUT_S).items():
            epoch = future.result(REQUEST_TIMEOUT_S).leader_epoch
            if epoch is not None:
                epochs[at.topic, at.partition] = epoch
    except (KafkaException, TimeoutError) as error:
        reason = cause(error).str() if isinstance(error, KafkaException) else "no answer"
        raise BrokerUnavailable(f"Kafka does not tell the epochs of its leaders: {reason}") from None
    return epochs


def counts_of(config: dict[str, Any], topics: Iterable[str]) -> dict[str, int]:
    """How many partitions topics have; those that are not there are left out.

    Not asked of the consumer: within its callbacks `list_topics` makes the client forget the call that it is
    in, and the next callback of that call aborts the process (`CallState_get: Assertion failed`).

    Raises:
        BrokerUnavailable: the broker does not tell.
    """
    counts = {}
    admin = AdminClient(
        {"bootstrap.servers": config["bootstrap.servers"], "log_level": 0}, logger=LIBRDKAFKA_LOG
    )
    for topic in topics:
        try:
            found = admin.list_topics(topic, timeout=REQUEST_TIMEOUT_S).topics.get(topic)
        except KafkaException as error:
            reason = cause(error).str()
            raise BrokerUnavailable(f"{topic}: Kafka does not tell its partitions: {reason}") from None
        if found is not None and found.error is None:
            counts[topic] = len(found.partitions)
    return counts


def end_of(consumer: Consumer, topic: str, partition: int) -> int:
    """Offset of the next record to come. Raises BrokerUnavailable."""
    return bounds_of(consumer, topic, partition)[1]


def bounds_of(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """First offset that there is, and that of the next record to come. Raises BrokerUnavailable.

    A broker that has just come back knows a partition a moment later than the group: it is asked again.
    """
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    while True:
        try:
            bounds = consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=REQUEST_TIMEOUT_S
            )
            break
        except KafkaException as error:
            if time.monotonic() >= deadline:
                reason = cause(error).str()
                raise BrokerUnavailable(f"{topic}: Kafka does not tell its offsets: {reason}") from None
            time.sleep(_AGAIN_S)
    if bounds is None:
        raise BrokerUnavailable(f"{topic}: Kafka does not tell its offsets in {REQUEST_TIMEOUT_S:.0f} s")
    return bounds


def ledger_restarts(
    config: dict[str, Any],
    states: States,
    known: Mapping[int, Known],
    connect: Callable[[dict[str, Any]], Consumer] = quiet_consumer,
) -> dict[int, Restart]:
    """Where the ledger's partitions are read from, by their snapshots.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    reader = connect(config | ONE_EVENT | {"group.id": f"{config['group.id']}.restore"})
    try:
        return restarts(reader, states, {partition: (of.low, of.high) for partition, of in known.items()})
    finally:
        reader.close()


def read_states(
    config: dict[str, Any],
    topic: str,
    partitions: Sequence[int],
    connect: Callable[[dict[str, Any]], Consumer] = quiet_consumer,
    *,
    replaces: Replaces | None = None,
    put_aside: Callable[[Message, str], None] | None = None,
) -> States:
    """The newest state record of each key, by partition; the partitions are read to their end.

    A consumer that was cut off may have written an older state after its successor wrote a newer one: the
    latest bar counts, not the last record; nor the offset, for a source that has lost its end counts anew.

    Args:
        replaces: whether a key's record (first) replaces an earlier one.
        put_aside: takes each newest record of a key that is no state, and why.

    Raises:
        BrokerUnavailable: the broker does not answer, or not to the end in time.
    """
    states: States = {partition: {} for partition in partitions}
    if not partitions:
        return states
    bad: dict[tuple[int, bytes | None], Message] = {}
    reader = connect(config | {"group.id": f"{config['group.id']}.restore", "enable.partition.eof": True})
    try:
        reader.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
        open_partitions = set(partitions)
        deadline = time.monotonic() + _RESTORE_TIMEOUT_S
        while open_partitions:
            if time.monotonic() > deadline:
                raise BrokerUnavailable(
                    f"topic {topic} could not be read to its end; see whether the broker is up"
                )
            for message in reader.consume(1000, 0.2):
                error = message.error()
                partition = int(message.partition() or 0)
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(partition)
                elif error is None:
                    key, value = _as_bytes(message.key()), _as_bytes(message.value())
                    bad.pop((partition, key), None)
                    # The ledger's snapshots are of another kind, which its own reader judges.
                    if value is not None and replaces is None and not is_snapshot(value):
                        bad[partition, key] = message
                    _keep_newest(states[partition], key, value, replaces or _later)
    finally:
        reader.close()
    for message in bad.values():
        if put_aside is None:
            break
        put_aside(message, f"no record of {topic}: no header with schema and offset")
    return states


def _keep_newest(
    states: dict[bytes, bytes], key: bytes | None, value: bytes | None, replaces: Replaces
) -> None:
    if key is None:
        return
    if value is None:
        states.pop(key, None)
    elif key not in states or replaces(value, states[key]):
        states[key] = value


def _later(value: bytes, than: bytes) -> bool:
    return snapshot_time_ms(value) >= snapshot_time_ms(than)


def _as_bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
