"""Where each series stands, as kept on `pipeline.progress` (DESIGN §4.1, §5.5). Pure.

A record of a series says: up to `last_id` nothing is missing on its topic, and everything above it lies at
`offset` or later in `partition`. So a restart reads the topic from there and knows exactly what is there,
even after a kill.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import orjson

from producers.bearings import SeriesBearings
from shared.errors import InvalidMessage

_SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """One record.

    Attributes:
        last_id: None before the first record of the series was delivered.
        event_time_ms: that of the record; before the first one, when the exchange was first listened to.
        stopped: the producer ended in good order and nothing lies above `last_id`.
    """

    last_id: int | None
    topic: str
    partition: int
    offset: int
    event_time_ms: int | None
    updated_ms: int
    stopped: bool = False

    def encode(self) -> bytes:
        return orjson.dumps({"schema": _SCHEMA, **asdict(self)})


def decode_progress(value: bytes) -> Progress:
    """Read a record of `pipeline.progress`.

    Raises:
        InvalidMessage: it is none.
    """
    try:
        fields: dict[str, Any] = orjson.loads(value)
        if fields.pop("schema") != _SCHEMA:
            raise InvalidMessage("schema", value, f"{_SCHEMA}, the version known here")
        return Progress(**fields)
    except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
        raise InvalidMessage("progress", value, f"a record of pipeline.progress ({error})") from None


def bearings_from(progress: Progress, found: Iterable[tuple[int, int]]) -> SeriesBearings | None:
    """Join a record with what its topic holds from there on.

    Args:
        found: (id, event time in ms) of the series' records from `progress.offset` on, in topic order.
    """
    last_id = progress.last_id
    later = [record for record in found if last_id is None or record[0] > last_id]
    if last_id is None:
        # The first record of the series is where it begins.
        return SeriesBearings(later[0][0], later, later[0][1]) if later else None
    return SeriesBearings(last_id, later, progress.event_time_ms)


class ProgressLog:
    """Decides what is written: only what is delivered, and only after its ledger events are."""

    def __init__(self, known: dict[str, Progress]) -> None:
        self._reached = dict(known)
        self._staged: dict[str, Progress] = {}
        self._written = dict(known)

    def reached(self, series: str, progress: Progress) -> None:
        """The record that `progress` speaks of is delivered."""
        self._reached[series] = progress

    def stage(self) -> None:
        """All ledger events of what is delivered by now are on their way."""
        self._staged = dict(self._reached)

    def settled(self) -> dict[str, Progress]:
        """The ledger events sent before `stage` are delivered: what may be written now."""
        due = {
            series: progress
            for series, progress in self._staged.items()
            if self._written.get(series) is not progress
        }
        self._written.update(due)
        return due

    def final(self, last_ids: dict[str, int], now_ms: int) -> dict[str, Progress]:
        """Everything is delivered and the producer ends: what to write for good.

        Args:
            last_ids: last id of the series without a hole below or a record above it.
        """
        return {
            series: replace(self._reached[series], last_id=last_id, updated_ms=now_ms, stopped=True)
            for series, last_id in last_ids.items()
            if series in self._reached
        }


def partition_of(key: bytes, partitions: int) -> int:
    """Partition of a key under Kafka's `murmur2` partitioners."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    """32-bit MurmurHash2 with Kafka's seed; all arithmetic modulo 2^32."""
    multiplier, mask = 0x5BD1E995, 0xFFFFFFFF
    state = 0x9747B28C ^ len(data)
    whole = len(data) - len(data) % 4
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * multiplier & mask
        word = (word ^ word >> 24) * multiplier & mask
        state = state * multiplier & mask ^ word
    if whole < len(data):
        state = (state ^ int.from_bytes(data[whole:], "little")) * multiplier & mask
    state = (state ^ state >> 13) * multiplier & mask
    return state ^ state >> 15
