"""Prints rows of a store: as a table for people, as CSV or JSON for programs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Final, TextIO

import orjson
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from consumers.measurements import MEASUREMENTS, Value
from consumers.stores.port import Row
from cryptostream.output import (
    PlainConsole,
    common_decimals,
    computed,
    decimals_for,
    left_out,
    screen_width,
)
from shared.shown import shown as visible
from shared.shown import shown_output
from shared.trade_ids import shown, split

_TIME_NAMES: Final = {"kline": "open_time_ms", "indicator": "open_time_ms", "trade": "trade_time_ms"}
_SHORT: Final = {
    "base_volume": "volume",
    "quote_volume": "quote",
    "taker_buy_base_volume": "taker buy",
    "trade_count": "trades",
    "buyer_is_maker": "side",
    "spread_bps": "bps",
}
# Left out of tables, which have 100 columns; CSV and JSON have everything.
_NOT_IN_TABLES: Final = frozenset(("taker_buy_quote_volume",))
# Prices in one table have the same decimals: the most that any was quoted with.
_PRICES: Final = frozenset(
    ("open", "high", "low", "close", "price", "bid", "ask", "mid", "spread", "bid_price", "ask_price")
)
_OWN_DECIMALS: Final = frozenset(("quantity", "bid_quantity", "ask_quantity"))
# As the exchange says them, each with its own decimals.
_STEPS: Final = frozenset(("tick", "lot"))
# Columns that leave a table wider than the screen, in this order; all others stay.
LEAVING: Final[dict[str, tuple[str, ...]]] = {
    "kline": ("taker_buy_base_volume", "trade_count", "quote_volume", "base_volume"),
    "trade": ("trade_id",),
    "book": ("ask_depth", "bid_depth", "imbalance", "spread", "spread_bps", "mid"),
    "quote": ("update_id", "ask_quantity", "bid_quantity"),
    "ledger": ("duplicates", "backfilled", "halted"),
    "instrument": (
        *("quotes_from", "book_proved_by", "bars_from", "trades_repaired_by"),
        *("base", "quote", "alias", "lot", "tick"),
    ),
}
# With more fields than this, fields become lines and bars become columns.
_MOST_COLUMNS: Final = 12
_BARS_A_BLOCK: Final = 5
# Wider than any table.
_NO_LIMIT: Final = 10_000
_SIGNIFICANT_DIGITS: Final = 9
# Volumes and ratios need no sixth digit.
_FEW_DIGITS: Final = 5
_FEW: Final = frozenset(("spread_bps", "imbalance", "bid_depth", "ask_depth"))


@dataclass(frozen=True, slots=True)
class Selection:
    """What a query selects.

    Attributes:
        tags: the tags that all rows share.
        marked: rows tell whether their bar is closed.
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
        """Declared fields; empty for indicators, whose fields depend on the settings."""
        return tuple(column.name for column in MEASUREMENTS[self.measurement].columns)

    def fields_of(self, names: Iterable[str]) -> list[str]:
        """The names that are fields, in their order."""
        others = ("time_ns", "closed", *self.tag_names)
        return [name for name in names if name not in others]


def write_csv(rows: Iterable[Row], selection: Selection, columns: Sequence[str], out: TextIO) -> None:
    """A header, then a line per row; missing values are empty. Streams."""
    names = _names(selection, columns)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_text(value) for value in _record(row, names).values()] for row in rows)


def write_json(rows: Iterable[Row], selection: Selection, columns: Sequence[str], out: TextIO) -> None:
    """One array, one object per line; missing values are null. Streams."""
    names = _names(selection, columns)
    separator = "[\n"
    for row in rows:
        out.write(separator + shown_output(orjson.dumps(_record(row, names)).decode()))
        separator = ",\n"
    out.write("\n]\n")


def write_table(rows: Iterable[Row], selection: Selection, out: TextIO) -> int:
    """A table as wide as the terminal, or 100 columns without one; returns the number of rows.

    If it does not fit, whole columns leave (`LEAVING`) and are named: no figure is ever cut.
    """
    rows = list(rows)
    width = screen_width(out)
    console = PlainConsole(file=out, width=_NO_LIMIT, highlight=False, soft_wrap=False)
    fields = selection.fields_of(selection.columns or sorted({name for row in rows for name in row}))
    title = visible(" ".join((selection.measurement, *selection.tags.values())))
    if len(fields) > _MOST_COLUMNS:
        for table in _blocks(rows, fields, title, console, width):
            console.print(table)
        return len(rows)
    left: list[str] = []
    leaving = [name for name in LEAVING.get(selection.measurement, ()) if name in fields]
    table = _one_line_per_row(rows, fields, selection, title)
    while leaving and _width(table, console) > width:
        left.append(leaving.pop(0))
        table = _one_line_per_row(rows, [name for name in fields if name not in left], selection, title)
    console.print(table)
    if left:
        out.write(left_out(left, width))
    return len(rows)


def _width(table: Table, console: Console) -> int:
    return Measurement.get(console, console.options, table).maximum


def _blocks(
    rows: Sequence[Row], fields: Sequence[str], title: str, console: Console, width: int
) -> Iterator[Table]:
    """Tables of as many bars side by side as fit."""
    at = 0
    while at < len(rows):
        count = _BARS_A_BLOCK
        table = _one_column_per_row(rows[at : at + count], fields, title)
        while count > 1 and _width(table, console) > width:
            count -= 1
            table = _one_column_per_row(rows[at : at + count], fields, title)
        yield table
        at += count


def _names(selection: Selection, columns: Sequence[str]) -> list[str]:
    marks = ["closed"] if selection.marked else []
    return [selection.time_name, *selection.tag_names, *selection.fields_of(columns), *marks]


def _record(row: Row, names: Sequence[str]) -> dict[str, Value | str]:
    time_name, *others = names
    record = {time_name: int(row["time_ns"] or 0) // 10**6, **{name: row.get(name) for name in others}}
    if "trade_id" in record:
        # The store has the trade's number, other programs know the exchange's id.
        record["trade_id"] = split(int(record["trade_id"] or 0))[1]
    return record


def _text(value: Value | str) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        # Without an exponent, which some programs cannot read.
        return repr(value) if "e" not in repr(value) or not isfinite(value) else f"{Decimal(repr(value)):f}"
    return str(value).lower() if isinstance(value, bool) else visible(str(value))


def _one_line_per_row(rows: Sequence[Row], fields: Sequence[str], selection: Selection, title: str) -> Table:
    fields = [name for name in fields if name not in _NOT_IN_TABLES]
    varying = [name for name in selection.tag_names if name not in selection.tags]
    date, times = _times(rows)
    table = _table(f"{title} {date}")
    columns = {name: [row.get(name) for row in rows] for name in fields}
    table.add_column("UTC", no_wrap=True)
    for name in varying:
        table.add_column(name)
    for name in fields:
        words = any(isinstance(value, str) for value in columns[name])
        heading = _SHORT.get(name, name.replace("_", " "))
        table.add_column(heading, justify="left" if words else "right", no_wrap=True)
    if selection.marked:
        table.add_column("")
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


def _one_column_per_row(rows: Sequence[Row], fields: Sequence[str], title: str) -> Table:
    """One line per field, for more fields than a screen is wide."""
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
    """The date that all rows share, else "", and their times as precisely as needed; UTC."""
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
    """A column's values, with the decimals that the values `alike` need, so that they compare by eye."""
    if name == "buyer_is_maker":
        return ["–" if value is None else "sell" if value else "buy" for value in values]
    if name == "trade_id" and any(split(int(value or 0))[0] for value in values):
        return [shown(int(value or 0)) for value in values]
    if name in _STEPS:
        return ["–" if value is None else _text(value) for value in values]
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
