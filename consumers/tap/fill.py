"""The first rows of a key's series, read from its topics: from there on the tap follows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from consumers.tap.port import Hole, LiveRow
from consumers.tap.reading import PartitionReader, newest
from consumers.tap.records import KeyTap, RawRecord, SeriesRows
from consumers.tap.series import LiveSeries
from shared.kafka_reader import PartitionId

RING_BARS: Final = 1_500
RING_TRADES: Final = 2_000
RING_BOOKS: Final = 600
# Further back for the sums of the minutes before the present one.
SUMMARY_MS: Final = 180_000


class FilledSeries(NamedTuple):
    """As `consumers.tap.port.Filled`, with the partition instead of the source."""

    series: LiveSeries
    at: PartitionId | None
    rows: tuple[LiveRow, ...]
    low: int
    end: int
    holes: tuple[Hole, ...] = ()


@dataclass(frozen=True, slots=True)
class Filling:
    """A key's tap after the records that are in its series.

    Attributes:
        ends: by partition, the offset that the tap goes on from.
    """

    tap: KeyTap
    series: tuple[FilledSeries, ...]
    ends: dict[PartitionId, int] = field(default_factory=dict)


class Rows:
    """The newest rows of each series.

    Args:
        room: how many are kept of a series.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._rows: dict[LiveSeries, deque[LiveRow]] = {}
        self._cut: set[LiveSeries] = set()

    def add(self, given: Iterable[SeriesRows]) -> None:
        for series, rows, _ in given:
            kept = self._rows.setdefault(series, deque(maxlen=self._room))
            if len(kept) + len(rows) > self._room:
                self._cut.add(series)
            kept.extend(rows)

    def of(self, series: LiveSeries) -> tuple[LiveRow, ...]:
        return tuple(self._rows.get(series, ()))

    def filled(self, series: LiveSeries, at: PartitionId, span: tuple[int, int]) -> FilledSeries:
        """A series of records that were read in [low, end)."""
        rows = self.of(series)
        low, end = span
        if series in self._cut:
            # The first row's record may have others, which are cut off.
            low = rows[0].offset + 1
        return FilledSeries(series, at, rows, low, end)


def fill_newest(
    reader: PartitionReader, source: tuple[str, bytes], tap: KeyTap, series: Sequence[LiveSeries], count: int
) -> Filling:
    """The newest records of a key without state: books, quotes.

    Args:
        source: topic and key.
    """
    topic, key = source
    at = reader.partition(topic, key)
    low, end = reader.bounds(at)
    records, start = newest(reader, at, (low, end), key, lambda found: len(found) >= count)
    rows = Rows(count)
    for record in records:
        rows.add(tap.receive([record]))
    return Filling(tap, tuple(rows.filled(one, at, (start, end)) for one in series), {at: end})


def last_changes(rows: Iterable[LiveRow]) -> tuple[LiveRow, ...]:
    """The last row of each time, in the order in which they came: viewers go on by offsets, not by times."""
    last: dict[int, LiveRow] = {}
    for row in rows:
        last.pop(row.time_ns, None)
        last[row.time_ns] = row
    return tuple(last.values())


def batches(records: Iterable[RawRecord], size: int = 1_000) -> Iterable[list[RawRecord]]:
    """Records in lists of this size."""
    batch: list[RawRecord] = []
    for record in records:
        batch.append(record)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
