"""Snapshots of the ledger for a topic whose events lie at other offsets, on other partitions. Pure.

What their sets say stays true, and events that are read again change nothing; the newest of them may be of
events that were deleted since, so they must not be lost (docs/decisions/ledger.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from consumers.enrich.port import StateRecord
from consumers.ledger_snapshot import (
    PARTITION_KEY,
    PartitionSnapshot,
    SeriesSnapshot,
    decode_partition,
    decode_series,
    newer,
)
from producers.progress import partition_of
from shared.messages import message_key


def moved(states: Iterable[Mapping[bytes, bytes]], partitions: int) -> Iterator[StateRecord]:
    """Records of the snapshot topic: each series on the partition that its events have now, to be read from
    the first.

    Args:
        states: what the old partitions hold, by key.
        partitions: how many there are now.
    """
    newest: dict[bytes, bytes] = {}
    states = list(states)
    before = [decode_partition(state.get(PARTITION_KEY)) or PartitionSnapshot() for state in states]
    for state in states:
        for key, value in state.items():
            if key != PARTITION_KEY and (key not in newest or newer(value, newest[key])):
                newest[key] = value
    for key, value in newest.items():
        snapshot = decode_series(value)
        if snapshot is not None:
            yield StateRecord(
                _home(snapshot, partitions), key, replace(snapshot, offset=0, generation=0).encode()
            )
    whole = PartitionSnapshot(
        # Another generation than that of the series: their offsets mean nothing here.
        generation=1,
        heard_ms=max((one.heard_ms for one in before if one.heard_ms is not None), default=None),
        exchange_ms=max((one.exchange_ms for one in before if one.exchange_ms is not None), default=None),
        uncovered=tuple(span for one in before for span in one.uncovered),
    )
    for partition in range(partitions):
        yield StateRecord(partition, PARTITION_KEY, whole.encode())


def _home(snapshot: SeriesSnapshot, partitions: int) -> int:
    return partition_of(message_key(snapshot.series.exchange, snapshot.series.symbol), partitions)
