"""Where to resume the ledger: reads single events of `pipeline.ledger` to compare their fingerprints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer

from consumers.ledger_snapshot import Restart, fingerprint, restart
from shared.errors import InvalidMessage
from shared.kafka_reader import PartitionId, records_at
from shared.messages import decode
from shared.topics import LEDGER

_TIMEOUT_S: Final = 10.0
# For reads of one event, of some 400 bytes; a fetch gives at least one batch, whatever its size.
ONE_EVENT: Final = {
    "max.partition.fetch.bytes": 16_384,
    "queued.min.messages": 1,
    "enable.partition.eof": True,
}


def restarts(
    reader: Consumer, records: Mapping[int, Mapping[bytes, bytes]], bounds: Mapping[int, tuple[int, int]]
) -> dict[int, Restart]:
    """Where to read each partition from.

    Args:
        reader: made with `ONE_EVENT`, for this use alone.
        records: of the snapshot topic, by partition the newest of each key.
        bounds: of the partitions of `pipeline.ledger`.

    Raises:
        BrokerUnavailable: the broker does not deliver an event.
    """
    return {
        partition: restart(
            records.get(partition, {}),
            low,
            high,
            lambda offset, at=partition: _fingerprint(reader, at, offset),  # type: ignore[misc]
        )
        for partition, (low, high) in bounds.items()
    }


def _fingerprint(reader: Consumer, partition: int, offset: int) -> int | None:
    def silent(_partition: PartitionId) -> str:
        return (
            f"{LEDGER}: the broker does not deliver the event at offset {offset} of partition {partition} "
            f"in {_TIMEOUT_S:.0f} s"
        )

    at = LEDGER, partition
    event = records_at(reader, {at: offset}, silent, within_s=_TIMEOUT_S)[at]
    try:
        return None if event is None else fingerprint(decode("ledger", event.value()))
    except InvalidMessage:
        return None
