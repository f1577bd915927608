"""Klines of a text, one by one: Binance's archives, and what `cryptostream query klines` prints.

CSV with a line of names has its columns in any order; without one it is an archive of 12 columns
(BINANCE_SPOT.md §9). JSON has one object a line. Times are milliseconds or, in archives since 2025,
microseconds; their size tells.
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
from shared.intervals import INTERVAL_MS

_ARCHIVE: Final = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
# What a bar needs, by the names that archives and our exports give it.
_NEEDED: Final = (
    ("open_time_ms", "open_time"),
    ("open",),
    ("high",),
    ("low",),
    ("close",),
    ("base_volume", "volume"),
)
_EXPECTED: Final = (
    "expected a kline archive of Binance, or what `cryptostream query klines … --format csv` or json prints"
)
# Until the year 2286 milliseconds have 13 digits, and microseconds since 2001 have 16.
_LARGEST_MS: Final = 10**13
_LEAST_US: Final = 10**15

_Cells = Sequence[Any]


class FileBar(NamedTuple):
    """A bar and where it stands.

    Attributes:
        line: number of its line, from 1.
        length_ms: how long the row itself says it is; None if it does not.
        symbol: whose it is; empty if the row does not say.
        closed: False for a bar still open.
    """

    bar: Bar
    line: int
    length_ms: int | None
    symbol: str
    closed: bool


def read_klines(text: Text) -> Iterator[FileBar]:
    """All klines of a text in its order.

    Raises:
        RecordingError: a line is no kline; it names file, line, and what is wrong.
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
            if row is None:
                named = not cells[0].strip().isdigit()
                row = _Row(text, [cell.strip() for cell in cells] if named else _ARCHIVE, number)
                if named:
                    continue
            yield row.read(cells, number)
    except csv.Error as error:
        raise text.error(reader.line_num + skipped, f"damaged CSV ({error}); {_EXPECTED}") from None


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
    """How rows are read that have their columns in the order of a header."""

    def __init__(self, text: Text, header: Sequence[str], line: int) -> None:
        self._text = text
        self.header = header
        self.names = set(header)
        self.line = line
        places = []
        for names in _NEEDED:
            found = [header.index(name) for name in names if name in header]
            if not found:
                raise text.error(line, f'no column "{names[0]}"; {_EXPECTED}')
            places.append(found[0])
        self._time, *self._numbers = places
        self._close_time = self._optional("close_time_ms", "close_time")
        self._interval = self._optional("interval")
        self._symbol = self._optional("symbol")
        self._closed = self._optional("closed")

    def _optional(self, *names: str) -> int | None:
        return next((self.header.index(name) for name in names if name in self.header), None)

    def read(self, cells: _Cells, line: int) -> FileBar:
        if len(cells) != len(self.header):
            raise self._text.error(line, f"{len(cells)} fields instead of {len(self.header)}")
        try:
            open_time_ms = _time_ms(cells[self._time])
            open_, high, low, close, volume = [float(cells[place]) for place in self._numbers]
        except (TypeError, ValueError):
            raise self._text.error(line, self._wrong(cells)) from None
        # Written so that NaN fails, too.
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
            return _time_ms(cells[self._close_time]) - open_time_ms + 1
        except (TypeError, ValueError):
            raise self._text.error(
                line, f"close_time: {str(cells[self._close_time])[:80]!r} is not a time"
            ) from None

    def _wrong(self, cells: _Cells) -> str:
        """Which field is not what it should be."""
        for place in self._numbers:
            try:
                float(cells[place])
            except (TypeError, ValueError):
                return f"{self.header[place]}: {str(cells[place])[:80]!r} is not a number"
        return (
            f"{self.header[self._time]}: {str(cells[self._time])[:80]!r} is not a time"
            " in milliseconds or microseconds since the epoch"
        )


def _time_ms(value: Any) -> int:
    """Milliseconds of a time in milliseconds or microseconds. Raises ValueError for anything else."""
    time_ms = int(value)
    if time_ms >= _LEAST_US:
        time_ms //= 1000
    if not 0 <= time_ms < _LARGEST_MS:
        raise ValueError(value)
    return time_ms
