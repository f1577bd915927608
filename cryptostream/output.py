"""Rows of a store as a table for people, or as CSV and JSON for programs."""

from __future__ import annotations

import csv
import errno
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Final, TextIO

import orjson
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table

from consumers.measurements import MEASUREMENTS, Value
from consumers.stores.port import Row
from cryptostream.figures import common_decimals, computed, decimals_for
from shared.edges import terminal
from shared.shown import shown as visible
from shared.shown import shown_output
from shared.trade_ids import shown, split

_TIME_NAMES: Final = {
    "kline": "open_time_ms",
    "indicator": "open_time_ms",
    "trade": "trade_time_ms",
}
_SHORT: Final = {
    "base_volume": "volume",
    "quote_volume": "quote",
    "taker_buy_base_volume": "taker buy",
    "trade_count": "trades",
    "buyer_is_maker": "side",
    "spread_bps": "bps",
}
# Left out of tables, where 100 columns are all there is; CSV and JSON have everything.
_NOT_IN_TABLES: Final = frozenset(("taker_buy_quote_volume",))
# Prices side by side have the same decimals: all that any of them was quoted with.
_PRICES: Final = frozenset(
    ("open", "high", "low", "close", "price", "bid", "ask", "mid", "spread", "bid_price", "ask_price")
)
_OWN_DECIMALS: Final = frozenset(("quantity", "bid_quantity", "ask_quantity"))
# Where a table is wider than the screen whole columns go, in this order; what is not named stays.
LEAVING: Final[dict[str, tuple[str, ...]]] = {
    "kline": ("taker_buy_base_volume", "trade_count", "quote_volume", "base_volume"),
    "trade": ("trade_id",),
    "book": ("ask_depth", "bid_depth", "imbalance", "spread", "spread_bps", "mid"),
    "quote": ("update_id", "ask_quantity", "bid_quantity"),
    "ledger": ("duplicates", "backfilled", "halted"),
}
# More fields than this do not fit side by side: fields become lines, bars become columns.
_MOST_COLUMNS: Final = 12
_BARS_A_BLOCK: Final = 5
_WIDTH: Final = 100
# Wider than any table.
_NO_LIMIT: Final = 10_000
# Of a volume or a ratio nobody reads the sixth.
_SIGNIFICANT_DIGITS: Final = 9
_FEW_DIGITS: Final = 5
_FEW: Final = frozenset(("spread_bps", "imbalance", "bid_depth", "ask_depth"))


class PlainConsole(Console):
    """Rich's, which leaves the end of a reader to the edge of the command (`shared.command`).

    Only rich itself moves the cursor and colours: what a text holds of that is written out.
    """

    def __init__(self, *, file: TextIO | None = None, **options: Any) -> None:
        # A name may look like rich's markup ("[/x]"), and is not meant so.
        super().__init__(
            file=terminal(sys.stdout if file is None else file), markup=False, emoji=False, **options
        )

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=shown_output(segment.text))


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for.

    Attributes:
        tags: the tags that are the same in all rows.
        marked: rows say whether their bar is closed.
    """

    measurement: str
    tags: dict[str, str]
    marked: bool = False

    @property
    def time_name(self) -> str:
        return _TIME_NAMES.get(self.measurement, "time_ms")

    @property
    def tag_names(self) -> tuple[str, ...]:
        return MEASUREMENTS[self.measurement].tags

    @property
    def columns(self) -> tuple[str, ...]:
        """Declared fields; none for indicators, whose fields are those that rows have."""
        return tuple(column.name for column in MEASUREMENTS[self.measurement].columns)

    def fields_of(self, names: Iterable[str]) -> list[str]:
        """Those of the names that are fields, in their order."""
        others = ("time_ns", "closed", *self.tag_names)
        return [name for name in names if name not in others]


def write_csv(rows: Iterable[Row], selection: Selection, columns: Sequence[str], out: TextIO) -> None:
    """A line of names, then a line a row; what a row lacks is empty. Streams."""
    names = _names(selection, columns)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_text(value) for value in _record(row, names).values()] for row in rows)


def write_json(rows: Iterable[Row], selection: Selection, columns: Sequence[str], out: TextIO) -> None:
    """One array of objects, one a line; what a row lacks is null. Streams."""
    names = _names(selection, columns)
    separator = "[\n"
    for row in rows:
        out.write(separator + shown_output(orjson.dumps(_record(row, names)).decode()))
        separator = ",\n"
    out.write("\n]\n")


def write_table(rows: Iterable[Row], selection: Selection, out: TextIO) -> int:
    """A table as wide as the terminal, or 100 columns where there is none; returns how many rows there were.

    What does not fit leaves by whole columns, see `LEAVING`, and is named: no figure is ever cut.
    """
    held = list(rows)
    width = screen_width(out)
    console = PlainConsole(file=out, width=_NO_LIMIT, highlight=False, soft_wrap=False)
    fields = selection.fields_of(selection.columns or sorted({name for row in held for name in row}))
    title = visible(" ".join((selection.measurement, *selection.tags.values())))
    if len(fields) > _MOST_COLUMNS:
        for table in _blocks(held, fields, title, console, width):
            console.print(table)
        return len(held)
    left: list[str] = []
    leaving = [name for name in LEAVING.get(selection.measurement, ()) if name in fields]
    table = _lying(held, fields, selection, title)
    while leaving and _width(table, console) > width:
        left.append(leaving.pop(0))
        table = _lying(held, [name for name in fields if name not in left], selection, title)
    console.print(table)
    if left:
        names = ", ".join(name.replace("_", " ") for name in left)
        out.write(f"left out, the screen has {width} columns: {names}; --format csv has all\n")
    return len(held)


def screen_width(out: TextIO) -> int:
    """Columns of the terminal that this is, else 100."""
    return shutil.get_terminal_size((_WIDTH, 24)).columns if out.isatty() else _WIDTH


def _width(table: Table, console: Console) -> int:
    return Measurement.get(console, console.options, table).maximum


def _blocks(
    rows: Sequence[Row], fields: Sequence[str], title: str, console: Console, width: int
) -> Iterator[Table]:
    """Bars side by side, as many as fit."""
    at = 0
    while at < len(rows):
        count = _BARS_A_BLOCK
        table = _upright(rows[at : at + count], fields, title)
        while count > 1 and _width(table, console) > width:
            count -= 1
            table = _upright(rows[at : at + count], fields, title)
        yield table
        at += count


def _names(selection: Selection, columns: Sequence[str]) -> list[str]:
    marks = ["closed"] if selection.marked else []
    return [selection.time_name, *selection.tag_names, *selection.fields_of(columns), *marks]


def _record(row: Row, names: Sequence[str]) -> dict[str, Value | str]:
    time_name, *others = names
    record = {time_name: int(row["time_ns"] or 0) // 10**6, **{name: row.get(name) for name in others}}
    if "trade_id" in record:
        # Stored is the trade's number; the exchange's id is what others know it by.
        record["trade_id"] = split(int(record["trade_id"] or 0))[1]
    return record


def _text(value: Value | str) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        # Without an exponent, which not every program reads.
        return repr(value) if "e" not in repr(value) or not isfinite(value) else f"{Decimal(repr(value)):f}"
    return str(value).lower() if isinstance(value, bool) else visible(str(value))


def _lying(rows: Sequence[Row], fields: Sequence[str], selection: Selection, title: str) -> Table:
    """One line a row."""
    fields = [name for name in fields if name not in _NOT_IN_TABLES]
    varying = [name for name in selection.tag_names if name not in selection.tags]
    date, times = _times(rows)
    table = _table(f"{title} {date}")
    table.add_column("UTC", no_wrap=True)
    for name in varying:
        table.add_column(name)
    for name in fields:
        table.add_column(_SHORT.get(name, name.replace("_", " ")), justify="right", no_wrap=True)
    if selection.marked:
        table.add_column("")
    columns = {name: [row.get(name) for row in rows] for name in fields}
    prices = [price for name in fields if name in _PRICES for price in columns[name]]
    cells = [
        _cells(name, values, alike=prices if name in _PRICES else values) for name, values in columns.items()
    ]
    for position, row in enumerate(rows):
        marks = ["" if row["closed"] else "open"] if selection.marked else []
        table.add_row(
            times[position],
            *(visible(str(row[name])) for name in varying),
            *(column[position] for column in cells),
            *marks,
            style=None if row.get("closed", True) else "dim",
        )
    return table


def _upright(rows: Sequence[Row], fields: Sequence[str], title: str) -> Table:
    """One line a field, one column a row: for more fields than a screen is wide."""
    date, times = _times(rows)
    table = _table(f"{title} {date}")
    table.add_column("UTC", no_wrap=True)
    for row, text in zip(rows, times, strict=True):
        heading = text + ("" if row.get("closed", True) else "\n(open)")
        table.add_column(heading, justify="right", no_wrap=True)
    for name in fields:
        values = [row.get(name) for row in rows]
        table.add_row(name, *_cells(name, values, alike=values))
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def _times(rows: Sequence[Row]) -> tuple[str, list[str]]:
    """The date that all rows share (else nothing), and their times as finely as they need it; UTC."""
    times_ns = [int(row["time_ns"] or 0) for row in rows]
    moments = [datetime.fromtimestamp(time_ns // 10**9, UTC) for time_ns in times_ns]
    if not any(time_ns % (86_400 * 10**9) for time_ns in times_ns):
        return "", [moment.strftime("%Y-%m-%d") for moment in moments]
    clock = "%H:%M:%S" if any(time_ns % (60 * 10**9) for time_ns in times_ns) else "%H:%M"
    dates = {moment.strftime("%Y-%m-%d") for moment in moments}
    pattern = clock if len(dates) == 1 else f"%Y-%m-%d {clock}"
    texts = [moment.strftime(pattern) for moment in moments]
    if any(time_ns // 10**6 % 1000 for time_ns in times_ns):
        texts = [
            f"{text}.{time_ns // 10**6 % 1000:03d}" for text, time_ns in zip(texts, times_ns, strict=True)
        ]
    return dates.pop() if len(dates) == 1 else "", texts


def _cells(name: str, values: Sequence[Value | str], *, alike: Sequence[Value | str]) -> list[str]:
    """A column's values, with the decimals that those `alike` need, so that they can be compared by eye."""
    if name == "buyer_is_maker":
        return ["–" if value is None else "sell" if value else "buy" for value in values]
    if name == "trade_id" and any(split(int(value or 0))[0] for value in values):
        return [shown(int(value or 0)) for value in values]
    floats = [value for value in alike if isinstance(value, float) and isfinite(value)]
    if name in _PRICES or name in _OWN_DECIMALS:
        decimals = common_decimals(floats)
        return [_cell(value, decimals) for value in values]
    digits = _FEW_DIGITS if name in _FEW or name.endswith("_volume") else _SIGNIFICANT_DIGITS
    largest = max(map(abs, floats), default=0.0)
    decimals = min(common_decimals(floats), decimals_for(largest, digits))
    return [_cell(value, decimals) for value in values]


def _cell(value: Value | str, decimals: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return computed(value, decimals) if abs(value) < 10**13 else f"{value:.9g}"
    return f"{value:,}" if isinstance(value, int) and abs(value) < 10**7 else str(value)


def write_columns(
    headings: Sequence[str], rows: Sequence[Sequence[str]], out: TextIO, *, right: Iterable[str] = ()
) -> None:
    """Rows of texts under their headings, aligned; those named in `right` end at one edge. No frame.

    The last column may be of any length.
    """
    numbers = {position for position, heading in enumerate(headings) if heading in set(right)}
    rows = [[visible(text) for text in row] for row in rows]
    widths = [max(cell_len(row[position]) for row in (headings, *rows)) for position in range(len(headings))]
    for row in (headings, *rows) if any(headings) else rows:
        cells = [
            (" " * (width - cell_len(text)) + text)
            if position in numbers
            else text + " " * (width - cell_len(text))
            for position, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        out.write("  ".join(cells).rstrip() + "\n")
