"""Asks the broker for what tells where to go on with the ledger: single events of `pipeline.ledger`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from consumers.ledger_snapshot import Restart, fingerprint, restart
from shared.errors import BrokerUnavailable, InvalidMessage
from shared.messages import decode
from shared.topics import LEDGER

_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.2
# One event is asked for, of some 400 bytes; a fetch gives at least one batch, whatever its size.
ONE_EVENT: Final = {
    "max.partition.fetch.bytes": 16_384,
    "queued.min.messages": 1,
    "enable.partition.eof": True,
}


def restarts(
    reader: Consumer,
    records: Mapping[int, Mapping[bytes, bytes]],
    bounds: Mapping[int, tuple[int, int]],
) -> dict[int, Restart]:
    """Where to read each partition from.

    Args:
        reader: made with `ONE_EVENT`, of no use to others meanwhile.
        records: of the snapshot topic, by partition the newest of each key.
        bounds: of the partitions of `pipeline.ledger`.

    Raises:
        BrokerUnavailable: an event is there, and the broker does not give it.
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
    reader.assign([TopicPartition(LEDGER, partition, offset)])
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        for message in reader.consume(1, _POLL_S):
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return None
            if error is not None:
                continue
            if message.offset() != offset:
                return None
            try:
                return fingerprint(decode("ledger", message.value()))
            except InvalidMessage:
                return None
    raise BrokerUnavailable(
        f"{LEDGER}: the broker does not give the event at offset {offset} of partition {partition} "
        f"in {_TIMEOUT_S:.0f} s"
    )
