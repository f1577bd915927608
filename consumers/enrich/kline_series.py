"""State of one kline series, and its record on the state topic (DESIGN §4.1, §5.2, §5.5)."""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final, NamedTuple

import orjson

from consumers.measurements import Value
from shared.id_ranges import IdRanges

SNAPSHOT_SCHEMA: Final = 1
# Enough to distinguish repeated bars (a producer's retries and restarts) from revised ones.
RECENT_BARS: Final = 16
ANY_OFFSET: Final = 2**63 - 1
# Of a state whose first bar cannot be known any more.
UNKNOWN_ORIGIN: Final = -2
# Holes are rare, since producers fill them before later bars; beyond this number the oldest are dropped.
MAX_HOLES: Final = 100


class KlineSeries:
    """Progress of one series.

    Attributes:
        key: record key, `exchange:symbol`.
        state: state of the indicators after the last bar.
        first_open_time_ms: open time of the first bar; indicators that sum from the start sum from here.
        last_open_time_ms: open time of the last bar; -1 before the first one.
        offset: offset of the last record absorbed; -1 if there is none yet.
        recent: checksums of the last bars by open time.
        holes: ids (open time ÷ interval) between the first and the last bar that have not arrived.
        dirty_from: offset of the first record that is in no snapshot; None if there is none.
        dirty_bars: number of bars that are in no snapshot.
        snapshot_ms: time of the last snapshot (the caller's clock).
    """

    __slots__ = (
        "dirty_bars",
        "dirty_from",
        "first_open_time_ms",
        "holes",
        "key",
        "last_open_time_ms",
        "offset",
        "partition",
        "recent",
        "reread_before",
        "reread_until_ms",
        "snapshot_ms",
        "state",
        "superseded_origin_ms",
    )

    def __init__(self, key: bytes, partition: int, state: Any) -> None:
        self.key = key
        self.partition = partition
        self.state = state
        self.first_open_time_ms = -1
        self.last_open_time_ms = -1
        self.offset = -1
        self.recent: dict[int, int] = {}
        self.holes = IdRanges()
        self.dirty_from: int | None = None
        self.dirty_bars = 0
        self.snapshot_ms = 0
        # Origin of an unusable state: if the rebuilt one begins elsewhere, the ledger reports it.
        self.superseded_origin_ms: int | None = None
        # Bars up to here are in the state: before this offset they are re-read, not repeated by the producer.
        # With `ANY_OFFSET` some may be others than those that were read.
        self.reread_until_ms = -1
        self.reread_before = 0

    def has_read(self, offset: int, number: int, open_time_ms: int) -> bool:
        """Whether a bar was read and stored before the restart."""
        before = open_time_ms <= self.reread_until_ms and offset < self.reread_before
        return before and number not in self.holes

    def differs(self, open_time_ms: int, checksum: int) -> bool:
        """Whether a bar in the state came with other values than those that are remembered."""
        known = self.recent.get(open_time_ms)
        return known is not None and known != checksum

    def replaced(self, offset: int, open_time_ms: int, checksum: int) -> None:
        """Other values of a bar in the state have been read: only what is remembered of it changes."""
        self.recent[open_time_ms] = checksum
        self.dirty_bars += 1
        if self.dirty_from is None:
            self.dirty_from = offset

    def remember(self, open_time_ms: int, checksum: int) -> None:
        self.recent[open_time_ms] = checksum
        if len(self.recent) > RECENT_BARS:
            del self.recent[next(iter(self.recent))]

    def advance(self, open_time_ms: int, interval_ms: int) -> None:
        """Go on to a later bar; ids between it and the last one become holes."""
        first, last = self.last_open_time_ms // interval_ms + 1, open_time_ms // interval_ms - 1
        # Between bars of two grids there may be more than an interval and no id.
        if self.last_open_time_ms >= 0 and first <= last:
            self.holes.add(first, last)
            if self.holes.range_count() > MAX_HOLES:
                first, last = next(iter(self.holes))
                self.holes.remove(first, last)
        self.last_open_time_ms = open_time_ms

    def fill(self, open_time_ms: int, interval_ms: int) -> bool:
        """Enter a bar not later than the last one; whether it is its first arrival."""
        number = open_time_ms // interval_ms
        new = open_time_ms < self.first_open_time_ms or number in self.holes
        self.holes.remove(number, number)
        return new

    def absorbed(self, offset: int) -> None:
        """The record at `offset` is in the state now."""
        self.offset = offset
        self.dirty_bars += 1
        if self.dirty_from is None:
            self.dirty_from = offset


class Snapshot(NamedTuple):
    """A decoded state record; `state` are the bytes of the indicators' state."""

    offset: int
    first_open_time_ms: int
    last_open_time_ms: int
    recent: dict[int, int]
    holes: IdRanges
    state: bytes


def checksum(values: tuple[Value, ...]) -> int:
    """Checksum of a bar's stored values, the same in every process."""
    return zlib.crc32(struct.pack(f"<{len(values)}d", *values))


def dump_snapshot(series: KlineSeries, state: bytes) -> bytes:
    """A line of JSON, then the state's bytes."""
    header = {
        "schema": SNAPSHOT_SCHEMA,
        "offset": series.offset,
        "first_open_time_ms": series.first_open_time_ms,
        "last_open_time_ms": series.last_open_time_ms,
        "recent": list(series.recent.items()),
        "holes": list(series.holes),
    }
    return orjson.dumps(header) + b"\n" + state


def load_snapshot(value: bytes) -> Snapshot:
    """Inverse of `dump_snapshot`. Raises ValueError for other bytes, or another version."""
    line, newline, state = value.partition(b"\n")
    if not newline:
        raise ValueError("no header line")
    header = orjson.loads(line)
    try:
        if header["schema"] != SNAPSHOT_SCHEMA:
            raise ValueError(f"schema {header['schema']} is not {SNAPSHOT_SCHEMA}")
        return Snapshot(
            int(header["offset"]),
            int(header["first_open_time_ms"]),
            int(header["last_open_time_ms"]),
            {int(open_time_ms): int(crc) for open_time_ms, crc in header["recent"]},
            IdRanges((int(first), int(last)) for first, last in header["holes"]),
            state,
        )
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"header lacks {error}") from None


def is_snapshot(value: bytes) -> bool:
    """Whether this is a state record of any version."""
    line, newline, _ = value.partition(b"\n")
    try:
        header = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return bool(newline) and isinstance(header, dict) and {"schema", "offset"} <= header.keys()


def snapshot_time_ms(value: bytes) -> int:
    """Open time of the last bar that a state record contains; -2 if it cannot be read."""
    try:
        return load_snapshot(value).last_open_time_ms
    except ValueError:
        return -2
