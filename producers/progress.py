"""How far each series has come, as kept on `pipeline.progress` (DESIGN §4.1, §5.5). Pure.

A record of a series says: `offset` in `partition` has the id `last_id`; up to it only `missing` is missing on
the topic, and everything later lies after it. So a restart reads the topic from there and knows exactly what
it has, even after a kill. The topic itself verifies the record: a power cut removes the end of a partition,
and other records may have been written there since (`producers.series_search`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, NamedTuple

import orjson

from producers.start_positions import OpenHole
from shared.errors import InvalidMessage
from shared.shortened import shortened

_SCHEMA: Final = 1
# Some 100 bytes each: 5,000 stay well below the largest record that Kafka takes (1 MB).
MOST_NOTED_HOLES: Final = 5_000
# A record with many holes is written less often: at most 10 kB a second and series.
MS_A_HOLE: Final = 10


@dataclass(frozen=True, slots=True)
class Progress:
    """One record.

    Attributes:
        last_id: None before the first record of the series was delivered.
        event_time_ms: of the record; before the first one, time of the first subscription.
        stopped: the producer stopped orderly; only `after` records of the series lie after this one.
        base: before the first record, the newest id issued before the first subscription; None if unknown.
        missing: holes below `last_id` when the record was published, sorted.
    """

    last_id: int | None
    topic: str
    partition: int
    offset: int
    event_time_ms: int | None
    updated_ms: int
    stopped: bool = False
    after: int = 0
    missing: tuple[OpenHole, ...] = ()
    base: int | None = None

    def encode(self) -> bytes:
        # Not `asdict`, which copies every hole.
        return orjson.dumps({"schema": _SCHEMA, **{name: getattr(self, name) for name in _FIELDS}})


class BadProgress(NamedTuple):
    """An unreadable record of `pipeline.progress` that no later one replaces."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    reason: str


def decode_progress(value: bytes) -> Progress:
    """Read a record of `pipeline.progress`.

    Raises:
        InvalidMessage: it is none.
    """
    try:
        read: dict[str, Any] = orjson.loads(value)
        if read.pop("schema") != _SCHEMA:
            raise InvalidMessage("schema", value, f"{_SCHEMA}, the version known here")
        # A newer version may have more fields.
        known = {name: read[name] for name in _FIELDS if name in read}
        known["missing"] = tuple(OpenHole(**hole) for hole in known.get("missing", ()))
        progress = Progress(**known)
    except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
        raise InvalidMessage(
            "progress", value, f"a record of pipeline.progress ({shortened(error)})"
        ) from None
    if not _makes_sense(progress):
        raise InvalidMessage("progress", value, "a record of pipeline.progress, with numbers in their places")
    return progress


def _makes_sense(progress: Progress) -> bool:
    whole = (progress.partition, progress.offset, progress.updated_ms, progress.after)
    optional = (progress.last_id, progress.event_time_ms, progress.base)
    holes = progress.missing
    return (
        isinstance(progress.topic, str)
        and all(type(number) is int and number >= 0 for number in whole)
        and all(number is None or type(number) is int for number in optional)
        and all(type(hole.first) is int and type(hole.last) is int for hole in holes)
        and all(hole.first <= hole.last for hole in holes)
    )


_FIELDS: Final = tuple(field.name for field in fields(Progress))


class Entered(NamedTuple):
    """A ledger event that the broker has acknowledged; `crc` of its key and value."""

    offset: int
    crc: int


class Acknowledged(NamedTuple):
    """What a broker has to have after an outage: its last acknowledged records.

    Attributes:
        series: the last record of each series.
        ledger: the last event in each partition of `pipeline.ledger`.
    """

    series: dict[str, Progress]
    ledger: dict[int, Entered]


class ProgressLog:
    """Decides what is written: only what is delivered, and only after its ledger events are.

    Args:
        known: what the progress topic has, and is true.
        seen: the last record found on the topic of each series.
    """

    def __init__(self, known: dict[str, Progress], seen: Mapping[str, Progress] | None = None) -> None:
        self._reached = dict(known)
        self._newest = {**known, **(seen or {})}
        self._staged: dict[str, Progress] = {}
        self._written = dict(known)

    def reached(self, series: str, progress: Progress) -> None:
        """The record of `progress` is delivered and was `seen`, and the holes below it are known."""
        self._reached[series] = progress

    def seen(self, series: str, record: Progress) -> bool:
        """The record is delivered.

        Returns:
            Whether it stands after the newest known one. If it does not, the broker has lost that one, since
            it gave its offset away again; it stays the newest, as what has to be proved.
        """
        newest = self._newest.get(series)
        if newest is not None and newest.partition == record.partition:
            known_from = newest.offset + (newest.last_id is not None)  # a marker notes the next offset
            if record.offset < known_from:
                return False
        self._newest[series] = record
        return True

    def based(self, series: str, base: int, now_ms: int) -> None:
        """A series of which nothing has been delivered begins after `base`."""
        reached = self._reached.get(series)
        if reached is not None and reached.last_id is None:
            self._reached[series] = replace(reached, base=base, updated_ms=now_ms)

    @property
    def newest(self) -> dict[str, Progress]:
        """The last record of each series known to be on its topic; it may be later than its progress."""
        return dict(self._newest)

    def stage(self) -> None:
        """All ledger events of what is delivered by now are sent."""
        self._staged = dict(self._reached)

    def commit(self) -> dict[str, Progress]:
        """The ledger events sent before `stage` are delivered: what may be written now."""
        due = {
            series: progress
            for series, progress in self._staged.items()
            if self._due(self._written.get(series), progress)
        }
        self._written.update(due)
        return due

    @staticmethod
    def _due(written: Progress | None, progress: Progress) -> bool:
        if written is None or written is progress:
            return written is None
        return progress.updated_ms - written.updated_ms >= len(progress.missing) * MS_A_HOLE

    def final(self, after: Mapping[str, int], now_ms: int) -> dict[str, Progress]:
        """Everything is delivered and the producer ends: the final records.

        Args:
            after: by series, how many records were sent after the one that it has reached; a series without
                records of this process is absent.
        """
        return {
            series: replace(self._reached[series], updated_ms=now_ms, stopped=True, after=count)
            for series, count in after.items()
            if series in self._reached
        }
