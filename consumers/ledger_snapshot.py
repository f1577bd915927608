"""Snapshots of the ledger, as kept on `pipeline.ledger-snapshot` (docs/decisions/ledger.md). Pure.

A record a series, with its sets, and one a partition of `pipeline.ledger`, which says up to which offset the
events of the partition are in the records of its series. So a reader takes the records and reads only the
events since. Both lie on the partition's own number.

A power cut may take the tail of `pipeline.ledger` although a snapshot of it was written. What the sets say
stays true, for the store and the exchange had said so; but other events take the offsets then. So a
partition's record keeps some offsets with fingerprints of the events there: where they are not found again,
events are read from behind one that is.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import orjson

from consumers.ledger_account import Account
from consumers.ledger_events import LedgerSeries
from consumers.ledger_notes import SeriesNotes
from shared.id_ranges import IdRanges
from shared.messages import LedgerMessage

SCHEMA: Final = 1
PARTITION_KEY: Final = b"partition"
_UNCOVERED: Final = 100
# Two hours of snapshots: what a power cut takes had not lain on the disk for longer. Else all is read.
_ANCHORS: Final = 24

Anchor = tuple[int, int]  # offset, fingerprint
FingerprintAt = Callable[[int], int | None]


@dataclass(frozen=True, slots=True)
class SeriesSnapshot:
    """A series as the events before `offset` have left it.

    Attributes:
        generation: how often the tail of the partition was lost; offsets compare only within one.
        account: None for streams that are not counted.
        waiting: slots whose rows had not been written yet.
    """

    series: LedgerSeries
    offset: int
    generation: int
    account: Account | None
    notes: SeriesNotes
    waiting: IdRanges

    @property
    def key(self) -> bytes:
        return ":".join(self.series).encode()

    def encode(self) -> bytes:
        body = orjson.dumps(
            {
                "account": self.account.state() if self.account is not None else None,
                "notes": self.notes.state(),
                "waiting": self.waiting.distances(),
            }
        )
        return orjson.dumps(
            {
                "schema": SCHEMA,
                "generation": self.generation,
                "offset": self.offset,
                "series": list(self.series),
                # Packed here: a client measures a record before its own compression.
                "body": base64.b64encode(zlib.compress(body)).decode(),
            }
        )


@dataclass(frozen=True, slots=True)
class PartitionSnapshot:
    """How far a partition of `pipeline.ledger` is in the snapshots of its series.

    Attributes:
        offset: events before it are in them.
        series: by the key of each, the offset that its own record has at least.
        anchors: offsets of events and their fingerprints, the newest first.
        heard_ms: when the newest of these events was sent, by its sender's clock.
        exchange_ms: the exchange's time, as far as it was known.
        uncovered: spans of time (ms) whose events were deleted before they were counted; None: since ever.
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
        """With a further anchor, the newest."""
        return replace(self, anchors=(anchor, *self.anchors)[:_ANCHORS])

    def with_uncovered(self, from_ms: int | None, to_ms: int) -> PartitionSnapshot:
        """With a further span of which nothing is known; of too many the oldest ones are joined."""
        spans = [*self.uncovered, (from_ms, to_ms)]
        if len(spans) > _UNCOVERED:
            spans[:2] = [(spans[0][0], spans[1][1])]
        return replace(self, uncovered=tuple(spans))


@dataclass(frozen=True, slots=True)
class Restart:
    """Where a reader goes on.

    Attributes:
        offset: the first event to read.
        snapshot: of the partition, with the generation of this reader.
        series: what to begin with.
        known_to: events of a series before this offset have been counted; a series that is not named begins
            with `offset`.
        uncovered: events were deleted that no snapshot has.
        note: for an operator, if something was out of order.
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
        low, high: first offset of the events that are there, and that of the next one to come.
        fingerprint_at: of the event at an offset; None if there is none that can be read.
    """
    partition = decode_partition(records.get(PARTITION_KEY))
    series = tuple(
        snapshot
        for key, value in records.items()
        if key != PARTITION_KEY and (snapshot := decode_series(value)) is not None
    )
    if partition is None:
        # Records of series alone are of a first snapshot that was cut off: what their sets say is true.
        return Restart(low, PartitionSnapshot(), series, uncovered=low > 0)
    if partition.offset <= low:
        return _begin(partition, series, low)
    for position, (offset, fingerprint) in enumerate(partition.anchors):
        if offset < low:
            break  # nothing of what was counted is left to compare
        if offset < high and fingerprint_at(offset) == fingerprint:
            if position == 0 and partition.offset <= high:
                return _begin(partition, series, low)
            return _again(partition, series, offset + 1, "what followed is gone")
    if partition.offset <= high and (not partition.anchors or partition.anchors[0][0] < low):
        return _begin(partition, series, low)
    return _again(partition, series, low, "it is another than the one that was counted")


def _begin(partition: PartitionSnapshot, series: tuple[SeriesSnapshot, ...], low: int) -> Restart:
    """The usual way: the events after those that were counted."""
    # A series without an event since the tail was lost has only the earlier record, and nothing follows it.
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
    """Sets stay, for applying an event twice changes nothing; offsets of before mean nothing any more."""
    cut = replace(partition, generation=partition.generation + 1, offset=offset, anchors=(), series={})
    note = f"the ledger was counted up to offset {partition.offset}, but {why}: read again from {offset}"
    return Restart(offset, cut, series, note=note)


def newer(value: bytes, than: bytes) -> bool:
    """Whether a record of a key replaces an earlier one: one cut off may write late what it had in hand."""
    return _rank(value) >= _rank(than)


def fingerprint(message: LedgerMessage) -> int:
    """Tells an event from those that might take its offset."""
    told = (message[name] for name in ("symbol", "stream", "interval", "kind", "first", "last"))
    return zlib.crc32(repr((*told, message["received_time_ms"])).encode())


def decode_partition(value: bytes | None) -> PartitionSnapshot | None:
    """None if there is none that can be read: then everything is read again."""
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
    """None if it is none that can be read; the partition's record then names an offset that it lacks."""
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
            SeriesNotes.of(body["notes"]),
            IdRanges.of_distances(body["waiting"]),
        )
    except (LookupError, TypeError, ValueError, zlib.error):
        return None


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
