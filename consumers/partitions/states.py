"""Reads the state of assigned partitions back from the state topic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Message

from consumers.enrich.kline_series import is_snapshot, snapshot_time_ms
from consumers.enrich.port import Known
from consumers.ledger_snapshot import Restart
from consumers.ledger_start import ONE_EVENT, restarts
from consumers.marks import as_bytes
from shared.kafka import KAFKA, KafkaClients
from shared.kafka_reader import passed_over, read_to_end

# 50 series a partition at 16 kB, with a few copies not compacted yet, are read in well under a second.
_RESTORE_TIMEOUT_S: Final = 120.0

States = dict[int, dict[bytes, bytes]]
Replaces = Callable[[bytes, bytes], bool]


def ledger_restarts(
    config: dict[str, Any], states: States, known: Mapping[int, Known], kafka: KafkaClients = KAFKA
) -> dict[int, Restart]:
    """Where to read the ledger's partitions from, by their snapshots.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    reader = kafka.consumer(config | ONE_EVENT | {"group.id": f"{config['group.id']}.restore"})
    try:
        return restarts(reader, states, {partition: (of.low, of.high) for partition, of in known.items()})
    finally:
        reader.close()


def read_states(
    config: dict[str, Any],
    topic: str,
    partitions: Sequence[int],
    *,
    replaces: Replaces | None = None,
    reject: Callable[[Message, str], None] | None = None,
    kafka: KafkaClients = KAFKA,
) -> States:
    """The newest state record of each key, by partition; the partitions are read to their end.

    A fenced consumer may have written an older state after its successor wrote a newer one, so that the
    latest bar decides, not the last record; nor its offset, since a truncated source reuses offsets.

    Args:
        replaces: whether a key's record (first) replaces an earlier one.
        reject: called with the newest record of a key if it is no state, and the reason.

    Raises:
        BrokerUnavailable: the broker does not answer, or not to the end in time.
    """
    states: States = {partition: {} for partition in partitions}
    if not partitions:
        return states
    bad: dict[tuple[int, bytes | None], Message] = {}
    reader = kafka.consumer(
        config | {"group.id": f"{config['group.id']}.restore", "enable.partition.eof": True}
    )
    try:
        for message in read_to_end(
            reader,
            {(topic, partition): OFFSET_BEGINNING for partition in partitions},
            silent=f"topic {topic} could not be read to its end; see whether the broker is up",
            unreadable=passed_over,
            batch=1_000,
            patience_s=_RESTORE_TIMEOUT_S,
            in_all=True,
        ):
            partition = int(message.partition() or 0)
            key, value = as_bytes(message.key()), as_bytes(message.value())
            bad.pop((partition, key), None)
            # The ledger's snapshots have another format, which its own reader checks.
            if value is not None and replaces is None and not is_snapshot(value):
                bad[partition, key] = message
            _keep_newest(states[partition], key, value, replaces or _later)
    finally:
        reader.close()
    if reject is not None:
        for message in bad.values():
            reject(message, f"no record of {topic}: no header with schema and offset")
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
