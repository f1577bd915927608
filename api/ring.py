"""The newest rows of a series, each once, with their places on Kafka."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from heapq import nlargest
from itertools import islice
from typing import Final, NamedTuple

from consumers.tap.port import Filled, Hole, LiveRow, Source
from consumers.tap.series import LiveKind

# What a page shows at once; the heat map of the book has ten minutes. Of other kinds only the newest counts.
_CAPACITY: Final = {
    "kline": 1_500,
    "indicator": 1_500,
    "trade_summary": 1_500,
    "ledger": 1_500,
    "trade": 2_000,
    "book": 600,
    "levels": 600,
    "quote": 600,
}
# Of CPython, rounded up: the entry, the row and its tuple; a number with its place in the tuple; a level.
_ROW_BYTES: Final = 320
_VALUE_BYTES: Final = 32
_LEVEL_BYTES: Final = 112
# Holes that are told; a chart of 1,500 bars with more is no chart.
_MOST_HOLES: Final = 20


def capacity(kind: LiveKind) -> int:
    """Rows that a ring of this kind keeps."""
    return _CAPACITY.get(kind.name, 1)


class Kept(NamedTuple):
    """A row in the ring; numbers rise by one with each row that comes, also with one that comes again."""

    number: int
    row: LiveRow


class Ring:
    """Rows in the order of their arrival; one that comes again replaces the former and is the newest.

    Args:
        most: rows, if its kind keeps not less.

    Attributes:
        source: None if the rows are not of one partition's records.
        low: rows of records from this offset on are all here.
        end: offset of the next record to come.
        next_number: of the next row to come.
        gone: rows with numbers below it may have been dropped.
        forgotten: rows are not kept; see `forget`.
        used_ms: when somebody last subscribed or left.
    """

    def __init__(self, kind: LiveKind, most: int) -> None:
        self.kind = kind
        self.most = min(capacity(kind), most)
        self.source: Source | None = None
        self.low = 0
        self.end = 0
        self.next_number = 0
        self.gone = 0
        self.holes: tuple[Hole, ...] = ()
        self.bytes = 0
        self.filled = False
        self.forgotten = False
        self.used_ms = 0
        self._rows: OrderedDict[int, Kept] = OrderedDict()
        self._levels = any(column.type == "levels" for column in kind.columns)
        self._row_bytes = _ROW_BYTES + _VALUE_BYTES * len(kind.columns)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def newest(self) -> LiveRow | None:
        """The row that came last."""
        return next(reversed(self._rows.values())).row if self._rows else None

    def fill(self, filled: Filled) -> None:
        """Begin with these rows, instead of what was here."""
        self._clear()
        self.source, self.low, self.end = filled.source, filled.low, filled.end
        self.holes = filled.holes[-_MOST_HOLES:]
        self.filled, self.forgotten = True, False
        self.add(filled.rows, filled.end)

    def refill(self, rows: Sequence[LiveRow], low: int) -> None:
        """Put older rows, of the records from `low` on, in front of those that came since `await_refill`."""
        newer = [kept.row for kept in self._rows.values()]
        older = [row for row in rows if row.offset < self.low]
        self._clear()
        self.low, self.filled = low, True
        self.add([*older, *newer], self.end)

    def forget(self) -> None:
        """Give the memory back; the newest row stays if it could not be read again from its record."""
        newest = self.newest
        self._clear()
        self.forgotten = True
        if newest is not None and self.source is None:
            self._keep(newest)
            self.forgotten = False
            self.low = self.end

    def await_refill(self) -> None:
        """Keep what comes from now on; `refill` brings what was before."""
        self.forgotten, self.filled = False, False
        self.low = self.end

    def add(self, rows: Sequence[LiveRow], end: int) -> None:
        """Rows came, in the order of their records."""
        self.end = max(self.end, end)
        if self.forgotten:
            return
        for row in rows:
            if len(self._rows) >= self.most and self._is_older_than_all(row):
                # A late repair is no reason to drop newer rows; whoever wants it reads the topic.
                self.low = max(self.low, row.offset + 1)
                continue
            self._keep(row)
        self.shrink(self.most)

    def shrink(self, most: int) -> None:
        """Keep this many rows, now and later."""
        self.most = most
        while len(self._rows) > most:
            _, (number, row) = self._rows.popitem(last=False)
            self.bytes -= self._size(row)
            self.low = max(self.low, row.offset + 1)
            self.gone = number + 1

    def first_of_newest(self, last: int) -> int:
        """Number from which on the ring has the newest `last` rows, and those that came among them."""
        if last == 0 or not self._rows:
            return self.next_number
        if last >= len(self._rows):
            return next(iter(self._rows.values())).number
        if self.kind.delivery == "latest":
            return next(islice(reversed(self._rows.values()), last - 1, None)).number
        # By time: after a repair, what came last is old, and who asks for the newest row wants none of it.
        newest = nlargest(last, self._rows.values(), key=lambda kept: kept.row.time_ns)
        return min(kept.number for kept in newest)

    def first_from(self, offset: int) -> int:
        """Number of the first row of the records from `offset` on; rows are in the order of their records."""
        first = self.next_number
        for kept in reversed(self._rows.values()):
            if 0 <= kept.row.offset < offset:
                break
            first = kept.number
        return first

    def rows(self, first: int, end: int) -> Iterator[Kept]:
        """Rows with numbers in [first, end), in order."""
        return (kept for kept in self._rows.values() if first <= kept.number < end)

    def snapshot(self, last: int) -> list[LiveRow]:
        """The newest `last` rows, by time."""
        rows = (kept.row for kept in self.rows(self.first_of_newest(last), self.next_number))
        return sorted(rows, key=lambda row: row.time_ns)[-last:] if last else []

    def _keep(self, row: LiveRow) -> None:
        former = self._rows.pop(row.time_ns, None)
        if former is not None:
            self.bytes -= self._size(former.row)
        self._rows[row.time_ns] = Kept(self.next_number, row)
        self.next_number += 1
        self.bytes += self._size(row)

    def _is_older_than_all(self, row: LiveRow) -> bool:
        # Of kinds of which the newest counts, the newest is what came last.
        return (
            self.kind.delivery != "latest"
            and row.time_ns not in self._rows
            and row.time_ns < next(iter(self._rows))
        )

    def _size(self, row: LiveRow) -> int:
        size = self._row_bytes
        if self._levels:
            size += sum(_LEVEL_BYTES * len(value) for value in row.values if isinstance(value, list))
        return size

    def _clear(self) -> None:
        # Numbers go on, so that who is in the midst of reading notices.
        self._rows.clear()
        self.bytes = 0
        self.gone = self.next_number
