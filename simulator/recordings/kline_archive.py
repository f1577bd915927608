"""Kline archives as Binance publishes them, CSV of 12 columns, and what `cryptostream query klines` prints.

Source: BINANCE_SPOT.md §9. Times come in s, ms, µs or ns; a line of names may stand anywhere.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from shared.archives import KLINE_COLUMNS, ArchiveName, archive_name, end_ms, market_of, time_ms
from shared.errors import RecordingError
from simulator.exchange import KlineRow
from simulator.recordings.items import Archive, ArchivedBar, Item, Note
from simulator.world.calendar import INTERVALS, bar_end, is_beside

_MOST_TRADES: Final = 2**53
_EIGHT_PLACES: Final = Decimal("1.00000000")
# Other names in our own export.
_OURS: Final = {
    "open_time_ms": "open_time",
    "base_volume": "volume",
    "trade_count": "count",
    "taker_buy_base_volume": "taker_buy_volume",
}
_DECIMALS: Final = (
    *("open", "high", "low", "close", "volume", "quote_volume"),
    *("taker_buy_volume", "taker_buy_quote_volume"),
)
_NEEDED: Final = ("open_time", "count", *_DECIMALS)


def read(path: Path, lines: Iterable[str]) -> Iterator[Item]:
    """Rows of one series; the file's name gives symbol and interval, as in BTCUSDT-1h-2024-11.csv.

    Bars beside the grid of their interval, as in early 2018, are kept, and counted in a note.
    """
    name: ArchiveName | None = None
    places: Mapping[str, int] = {column: place for place, column in enumerate(KLINE_COLUMNS)}
    width = len(KLINE_COLUMNS)
    beside, first_beside = 0, 0
    for number, cells in enumerate(csv.reader(lines), 1):
        names = [_OURS.get(cell, cell) for cell in (text.strip().lower().replace(" ", "_") for text in cells)]
        if "open_time" in names:
            places, width = _places(path, number, names), len(names)
            continue
        if len(cells) != width:
            raise RecordingError(f"{path}, line {number}: {len(cells)} columns; a kline has {width}")
        if name is None:
            name = _name(path, places, cells)
            yield Archive((name.symbol, name.interval), str(path), market_of(path, name.symbol))
        row = _row(cells, places, name.interval)
        if is_beside(name.interval, row.open_time_ms):
            first_beside = first_beside if beside else row.open_time_ms
            beside += 1
        yield ArchivedBar(number, row)
    if beside and name is not None:
        yield Note(
            f"{path}: {beside:,} bars open beside the grid of {name.interval}, the first at {first_beside};"
            " taken as they are, and on the grid the exchange counts as closed there"
        )


def _places(path: Path, number: int, names: Sequence[str]) -> Mapping[str, int]:
    for needed in _NEEDED:
        if needed not in names:
            raise RecordingError(f'{path}, line {number}: no column "{needed}"; a kline archive has it')
    return {column: place for place, column in enumerate(names)}


def _name(path: Path, places: Mapping[str, int], cells: Sequence[str]) -> ArchiveName:
    """Symbol and interval: by the rows, else by the name of the file or of its ZIP."""
    if "symbol" in places and "interval" in places:
        name: ArchiveName | None = ArchiveName(cells[places["symbol"]], cells[places["interval"]], "klines")
    else:
        name = archive_name(path.name, dated=False) or archive_name(path.parent.name)
    if name is None or name.interval not in INTERVALS:
        raise RecordingError(
            f"{path}: a kline archive's name must say symbol and interval, as in BTCUSDT-1h-2024-11.csv;"
            " rename it, or save a pipe as a file of such a name"
        )
    return name


def _row(cells: Sequence[str], places: Mapping[str, int], interval: str) -> KlineRow:
    open_time_ms = time_ms(cells[places["open_time"]])
    close_place = places.get("close_time")
    beyond_ms = bar_end(interval, open_time_ms) if close_place is None else end_ms(cells[close_place])
    open_, high, low, close, base, quote, buy_base, buy_quote = (
        str(Decimal(cells[places[column]]).quantize(_EIGHT_PLACES)) for column in _DECIMALS
    )
    count = int(cells[places["count"]])
    if not 0 <= count <= _MOST_TRADES:
        raise ValueError(f"{count} trades")
    return KlineRow(
        open_time_ms, open_, high, low, close, base, beyond_ms - 1, quote, count, buy_base, buy_quote
    )
