"""Kline archives as Binance publishes them: CSV of 12 columns, ms or µs (BINANCE_SPOT.md §9)."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

from shared.errors import RecordingError
from simulator.exchange import KlineRow
from simulator.recordings.recording import Recording
from simulator.world.calendar import INTERVALS

_EIGHT_PLACES: Final = Decimal("1.00000000")
_LARGEST_MS: Final = 10**13


def read(path: Path, lines: Iterator[str]) -> Recording:
    """Rows of one series; symbol and interval stand in the file name, as in BTCUSDT-1h-2024-11.csv."""
    found = re.match(r"([A-Za-z0-9]+)-(\d+(?:mo|[smhdwM]))-", path.name)
    interval = found[2].replace("mo", "M") if found else ""
    if found is None or interval not in INTERVALS:
        raise RecordingError(
            f"{path}: a kline archive's name must say symbol and interval, as in BTCUSDT-1h-2024-11.csv"
        )
    rows = {}
    for number, cells in enumerate(csv.reader(lines), 1):
        if number == 1 and cells[0] == "open_time":
            continue
        if len(cells) != 12:
            raise RecordingError(f"{path}, line {number}: {len(cells)} columns; a kline has 12")
        row = _row(cells)
        rows[row.open_time_ms] = row
    return Recording(klines={(found[1].upper(), interval): rows})


def _row(cells: list[str]) -> KlineRow:
    open_time, close_time = int(cells[0]), int(cells[6])
    if open_time >= _LARGEST_MS:
        open_time, close_time = open_time // 1000, close_time // 1000
    open_, high, low, close, base, quote, buy_base, buy_quote = (
        str(Decimal(cells[column]).quantize(_EIGHT_PLACES)) for column in (1, 2, 3, 4, 5, 7, 9, 10)
    )
    return KlineRow(
        open_time, open_, high, low, close, base, close_time, quote, int(cells[8]), buy_base, buy_quote
    )
