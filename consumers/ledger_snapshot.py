"""Snapshots of the ledger, as kept on `pipeline.ledger-snapshot` (docs/decisions/ledger.md). Pure.

One record per series, with its sets, and one per partition of `pipeline.ledger`, with the offset up to which
the partition's events are in the records of its series. A reader takes the records and reads only the events
since. Both are on the partition's own number.

A power cut may truncate `pipeline.ledger` although a snapshot of its tail was written. The sets stay true,
since the store and the exchange had confirmed them, but other events take the lost offsets. So a partition's
record keeps anchors: offsets with fingerprints of their events. Where the newest is not found again, events
are read from after the newest one that is.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import orjson

from consumers.ledger_account import Account
from consumers.ledger_incidents import SeriesIncidents
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries
from shared.messages import LedgerMessage, message_key

SCHEMA: Final = 1
PARTITION_KEY: Final = b"partition"
_UNCOVERED: Final = 100
# Two hours of snapshots: a power cut loses no older events. Without a match everything is read.
_ANCHORS: Final = 24

Anchor = tuple[int, int]  # offset, fingerprint
FingerprintAt = Callable[[int], int | None]


@dataclass(frozen=True, slots=True)
class SeriesSnapshot:
    """A series after the events before `offset`.

    Attributes:
        generation: how often the tail of the partition was lost; offsets compare only within one.
        account: None for streams that are not counted.
        waiting: periods whose rows had not been written yet.
    """

    series: LedgerSeries
    offset: int
    generation: int
    account: Account | None
    incidents: SeriesIncidents
    waiting: IdRanges

    @property
    def key(self) -> bytes:
        return ":".join(self.series).encode()

    def encode(self) -> bytes:
        body = orjson.dumps(
            {
                "account": self.account.state() if self.account is not None else None,
                "notes": self.incidents.state(),
                "waiting": self.waiting.distances(),
            }
        )
        return orjson.dumps(
            {
                "schema": SCHEMA,
                "generation": self.generation,
                "offset": self.offset,
                "series": list(self.series),
                # Compressed here: a client limits the size of a record before its own compression.
                "body": base64.b64encode(zlib.compress(body)).decode(),
            }
        )

    def joined(self, other: SeriesSnapshot) -> SeriesSnapshot:
        """What both say, whose events lie on different partitions; with this one's offset.

        Rows of periods that both know are to be written again: each had counted its own part.
        """
        account, incidents, waiting = self.account, SeriesIncidents.of(self.incidents.state()), IdRanges()
        incidents.merge(other.incidents)
        for periods in (self.waiting, other.waiting):
            waiting.update(periods)
        if self.account is not None and other.account is not None:
            account = Account.of(self.series, self.account.state())
            waiting.update(account.merge(other.account))
        return replace(self, account=account or other.account, incidents=incidents, waiting=waiting)


@dataclass(frozen=True, slots=True)
class PartitionSnapshot:
    """How far a partition of `pipeline.ledger` is in the snapshots of its series.

    Attributes:
        offset: events before it are in the snapshots of the series.
        series: by key, the least offset that the series' own record must have.
        anchors: offsets of events and their fingerprints, the newest first.
        heard_ms: when the newest of these events was sent, by its sender's clock.
        exchange_ms: the exchange's time, if known.
        uncovered: spans of time (ms) whose events were deleted before they were counted; a begin of None is
            the earliest time.
    """

    offset: int = 0
    generation: int = 0
    series: dict[str, int] = field(default_factory=dict)
    anchors: tuple[Anchor, ...] = ()
    heard_ms: int | None = None
    exchange_ms: int | None = None
    uncovered: tuple[tuple[int | None, int], ...] = ()

    def encode(self) -> bytes:
        return orjson.dumps({"schema": SCHEMA, **asdict(self)})

    def anchored(self, anchor: Anchor) -> PartitionSnapshot:
        """A copy with one more anchor, the newest."""
        return replace(self, anchors=(anchor, *self.anchors)[:_ANCHORS])

    def with_uncovered(self, from_ms: int | None, to_ms: int) -> PartitionSnapshot:
        """A copy with one more uncovered span; of too many the oldest ones are joined."""
        spans = [*self.uncovered, (from_ms, to_ms)]
        if len(spans) > _UNCOVERED:
            spans[:2] = [(spans[0][0], spans[1][1])]
        return replace(self, uncovered=tuple(spans))


@dataclass(frozen=True, slots=True)
class Restart:
    """Where a reader resumes.

    Attributes:
        offset: the first event to read.
        snapshot: of the partition, with the generation of this reader.
        series: their snapshots.
        known_to: by series, the offset before which its events have been counted; `offset` for all others.
        uncovered: events were deleted that are in no snapshot.
        note: for an operator, if something was wrong.
    """

    offset: int
    snapshot: PartitionSnapshot
    series: tuple[SeriesSnapshot, ...] = ()
    known_to: dict[LedgerSeries, int] = field(default_factory=dict)
    uncovered: bool = False
    note: str | None = None


def restart(records: Mapping[bytes, bytes], low: int, high: int, fingerprint_at: FingerprintAt) -> Restart:
    """Where to read a partition from.

    Args:
        records: of the snapshot topic, the newest of each key.
        low, high: first offset of the partition, and that of the next event to come.
        fingerprint_at: of the event at an offset; None if no event can be read there.
    """
    partition = decode_partition(records.get(PARTITION_KEY))
    series = tuple(
        snapshot
        for key, value in records.items()
        if key != PARTITION_KEY and (snapshot := decode_series(value)) is not None
    )
    if partition is None:
        # Records of series alone are of a first snapshot that was interrupted: their sets are true.
        return Restart(low, PartitionSnapshot(), series, uncovered=low > 0)
    if partition.offset <= low:
        return _begin(partition, series, low)
    for position, (offset, fingerprint) in enumerate(partition.anchors):
        if offset < low:
            break  # no counted event is left to compare
        if offset < high and fingerprint_at(offset) == fingerprint:
            if position == 0 and partition.offset <= high:
                return _begin(partition, series, low)
            return _again(partition, series, offset + 1, "later events are gone")
    if partition.offset <= high and (not partition.anchors or partition.anchors[0][0] < low):
        return _begin(partition, series, low)
    return _again(partition, series, low, "the topic is not the one that was counted")


def _begin(partition: PartitionSnapshot, series: tuple[SeriesSnapshot, ...], low: int) -> Restart:
    """The usual case: the events after the counted ones."""
    # A series without an event since the tail was lost has only the earlier record, and no later events.
    of_now = {one.key.decode(): one for one in series if one.generation == partition.generation}
    offset = partition.offset
    for key, at in partition.series.items():
        written = of_now[key].offset if key in of_now else 0
        if written < at:  # the record is gone, or an older one has replaced it
            offset = min(offset, written)
    known_to = {one.series: one.offset for one in of_now.values()}
    return Restart(max(offset, low), partition, series, known_to, uncovered=offset < low)


def _again(
    partition: PartitionSnapshot, series: tuple[SeriesSnapshot, ...], offset: int, why: str
) -> Restart:
    """Sets stay, since applying an event twice changes nothing; earlier offsets are void."""
    cut = replace(partition, generation=partition.generation + 1, offset=offset, anchors=(), series={})
    note = f"the ledger was counted up to offset {partition.offset}, but {why}: read again from {offset}"
    return Restart(offset, cut, series, note=note)


def newer(value: bytes, than: bytes) -> bool:
    """Whether a record of a key replaces an earlier one: a fenced consumer may write an old one late."""
    return _rank(value) >= _rank(than)


def fingerprint(message: LedgerMessage) -> int:
    """Identifies an event among others that might take its offset."""
    told = (message[name] for name in ("symbol", "stream", "interval", "kind", "first", "last"))
    return zlib.crc32(repr((*told, message["received_time_ms"])).encode())


def decode_partition(value: bytes | None) -> PartitionSnapshot | None:
    """The partition's snapshot; None if it is missing or unreadable: then everything is read again."""
    content = _content(value)
    if content is None:
        return None
    try:
        return PartitionSnapshot(
            content["offset"],
            content["generation"],
            dict(content["series"]),
            tuple((offset, mark) for offset, mark in content["anchors"]),
            content["heard_ms"],
            content["exchange_ms"],
            tuple((from_ms, to_ms) for from_ms, to_ms in content["uncovered"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def decode_series(value: bytes | None) -> SeriesSnapshot | None:
    """The series' snapshot; None if it is unreadable, which `PartitionSnapshot.series` reveals."""
    content = _content(value)
    if content is None:
        return None
    try:
        body = orjson.loads(zlib.decompress(base64.b64decode(content["body"])))
        series = LedgerSeries(*content["series"])
        account = body["account"]
        return SeriesSnapshot(
            series,
            content["offset"],
            content["generation"],
            Account.of(series, account) if account is not None else None,
            SeriesIncidents.of(body["notes"]),
            IdRanges.of_distances(body["waiting"]),
        )
    except (LookupError, TypeError, ValueError, zlib.error):
        return None


def instrument_of(key: bytes, value: bytes) -> bytes | None:
    """The message key of the events that a record is about; None if it is of no series."""
    content = _content(value)
    if key == PARTITION_KEY or content is None:
        return None
    try:
        exchange, symbol, _, _ = content["series"]
    except (KeyError, TypeError, ValueError):
        return None
    return message_key(str(exchange), str(symbol))


def _content(value: bytes | None) -> dict[str, Any] | None:
    try:
        content = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) and content.get("schema") == SCHEMA else None


def _rank(value: bytes) -> tuple[int, int]:
    content = _content(value)
    if content is None:
        return -1, -1
    return int(content.get("generation", -1)), int(content.get("offset", -1))
