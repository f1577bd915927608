"""Parses klines: Binance's archives, and what `cryptostream query klines` prints.

CSV with a header, which may repeat where files were joined, has its columns in any order; without a header it
is an archive of 12 columns (BINANCE_SPOT.md §9). JSON has one object per line. Times are in seconds,
milliseconds, microseconds (archives since 2025) or nanoseconds, told apart by their size.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from math import inf
from typing import Any, Final, NamedTuple

import orjson

from consumers.indicators.bars import Bar
from cryptostream.indicator_files.text import Text
from shared.archives import KLINE_COLUMNS, end_ms, time_ms
from shared.intervals import INTERVAL_MS

# The columns of a bar, by the names in our exports and in archives.
_NEEDED: Final = (
    *(("open_time_ms", "open_time"), ("open",), ("high",), ("low",), ("close",)),
    ("base_volume", "volume"),
)
_EXPECTED: Final = (
    "expected a kline archive of Binance, or what `cryptostream query klines … --format csv` or json prints"
)
_Cells = Sequence[Any]


class FileBar(NamedTuple):
    """A bar and its line.

    Attributes:
        line: from 1.
        length_ms: the length that the row gives, None if it gives none.
        symbol, exchange: empty if the row does not name them.
        closed: False for a bar still open.
        has_header: its file has a header like Binance's archives of futures.
    """

    bar: Bar
    line: int
    length_ms: int | None
    symbol: str
    closed: bool
    exchange: str = ""
    has_header: bool = False


def read_klines(text: Text) -> Iterator[FileBar]:
    """All klines of a text in its order.

    Raises:
        RecordingError: a line is not a kline; names the file, the line and the fault.
    """
    lines = text.lines()
    for skipped, line in enumerate(lines):
        if line.strip():
            read = _json if line.lstrip()[0] in "[{" else _csv
            yield from read(text, chain((line,), lines), skipped)
            return


def _csv(text: Text, lines: Iterator[str], skipped: int) -> Iterator[FileBar]:
    reader = csv.reader(lines, strict=True)
    row: _Row | None = None
    try:
        for cells in reader:
            if not cells:
                continue
            number = reader.line_num + skipped
            # Rows begin with a time, headers with a name.
            names = [] if _is_number(cells[0]) else _names(cells)
            if names or row is None:
                row = _Row(text, names or (KLINE_COLUMNS if _is_number(cells[0]) else cells), number)
                if names:
                    continue
            yield row.read(cells, number)
    except csv.Error as error:
        raise text.error(reader.line_num + skipped, f"damaged CSV ({error}); {_EXPECTED}") from None


def _names(cells: _Cells) -> list[str]:
    """The names of a header in our spelling; empty if it is a line of values."""
    names = [cell.strip().lower().replace(" ", "_") for cell in cells]
    return names if any(name in names for name in _NEEDED[0]) else []


def _is_number(cell: str) -> bool:
    return cell.strip()[:1].isdigit()


def _json(text: Text, lines: Iterator[str], skipped: int) -> Iterator[FileBar]:
    row: _Row | None = None
    for number, line in enumerate(lines, skipped + 1):
        record = line.strip().lstrip("[").rstrip(",]")
        if not record:
            continue
        try:
            fields = orjson.loads(record)
        except orjson.JSONDecodeError as error:
            raise text.error(number, f"not one JSON object a line ({error}); {_EXPECTED}") from None
        if not isinstance(fields, dict):
            raise text.error(number, f"not a JSON object; {_EXPECTED}")
        if row is None:
            row = _Row(text, tuple(fields), number)
        if fields.keys() != row.names:
            raise text.error(number, f"has other names than line {row.line}; {_EXPECTED}")
        yield row.read([fields[name] for name in row.header], number)


class _Row:
    """Reads rows that have the columns of a header."""

    def __init__(self, text: Text, header: Sequence[str], line: int) -> None:
        self._text = text
        self.header = header
        self.names = set(header)
        self.line = line
        columns = []
        for names in _NEEDED:
            column = self._optional(*names)
            if column is None:
                raise text.error(line, f'no column "{names[0]}"; {_EXPECTED}')
            columns.append(column)
        self._time, *self._numbers = columns
        self._has_header = header is not KLINE_COLUMNS and tuple(header) == KLINE_COLUMNS
        self._close_time = self._optional("close_time_ms", "close_time")
        self._interval = self._optional("interval")
        self._symbol = self._optional("symbol")
        self._exchange = self._optional("exchange")
        self._closed = self._optional("closed")

    def _optional(self, *names: str) -> int | None:
        return next((self.header.index(name) for name in names if name in self.header), None)

    def read(self, cells: _Cells, line: int) -> FileBar:
        if len(cells) != len(self.header):
            raise self._text.error(line, f"{len(cells)} fields instead of {len(self.header)}; {_EXPECTED}")
        try:
            open_time_ms = time_ms(cells[self._time])
            open_, high, low, close, volume = [float(cells[column]) for column in self._numbers]
        except (TypeError, ValueError):
            raise self._text.error(line, self._wrong(cells)) from None
        # This form refuses NaN too.
        if not (0.0 <= low <= open_ <= high < inf and low <= close <= high and 0.0 <= volume < inf):
            raise self._text.error(
                line,
                f"not a bar: open {open_}, high {high}, low {low}, close {close}, volume {volume}"
                " (needs 0 ≤ low ≤ open, close ≤ high, volume ≥ 0)",
            )
        return FileBar(
            Bar(open_time_ms, open_, high, low, close, volume),
            line,
            self._length_ms(cells, open_time_ms, line),
            str(cells[self._symbol]) if self._symbol is not None else "",
            self._closed is None or str(cells[self._closed]).lower() == "true",
            str(cells[self._exchange]) if self._exchange is not None else "",
            self._has_header,
        )

    def _length_ms(self, cells: _Cells, open_time_ms: int, line: int) -> int | None:
        if self._interval is not None:
            length_ms = INTERVAL_MS.get(cells[self._interval])
            if length_ms is None:
                allowed = ", ".join(INTERVAL_MS)
                raise self._text.error(
                    line, f"interval: {str(cells[self._interval])[:80]!r} is not one of {allowed}"
                )
            return length_ms
        if self._close_time is None:
            return None
        try:
            return end_ms(cells[self._close_time]) - open_time_ms
        except (TypeError, ValueError):
            raise self._text.error(
                line, f"close_time: {str(cells[self._close_time])[:80]!r} is not a time"
            ) from None

    def _wrong(self, cells: _Cells) -> str:
        """The field that cannot be parsed."""
        for column in self._numbers:
            try:
                float(cells[column])
            except (TypeError, ValueError):
                return f"{self.header[column]}: {str(cells[column])[:80]!r} is not a number"
        return (
            f"{self.header[self._time]}: {str(cells[self._time])[:80]!r} is not a time"
            " since the epoch as a whole number of s, ms, µs or ns; write it so"
        )
