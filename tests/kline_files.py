"""Files of klines for tests, written like archives and exports."""

from __future__ import annotations

import csv
import gzip
import zipfile
from collections.abc import Sequence
from pathlib import Path

from consumers.indicators.bars import Bar
from tests.builders import NOW_MS

MINUTE_MS = 60_000
ARCHIVE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore"
)


def bars(count: int, *, first: int = 0, interval_ms: int = MINUTE_MS, start_ms: int = NOW_MS) -> list[Bar]:
    """A walk that is the same wherever it is cut: bar `n` is always bar `n`."""
    made = []
    for number in range(first, first + count):
        close = 100.0 + number * 7 % 13 / 4.0
        opening = 100.0 + (number - 1) * 7 % 13 / 4.0
        high, low = max(opening, close) + 0.5, min(opening, close) - 0.25
        made.append(
            Bar(start_ms + number * interval_ms, opening, high, low, close, 10.0 + number * 5 % 17 / 8.0)
        )
    return made


def archive_line(bar: Bar, *, interval_ms: int = MINUTE_MS, factor: int = 1) -> str:
    """As Binance writes it; `factor` 1000 for microseconds."""
    open_time, close_time = bar.open_time_ms * factor, (bar.open_time_ms + interval_ms) * factor - 1
    prices = ",".join(f"{price:.8f}" for price in bar[1:6])
    return f"{open_time},{prices},{close_time},1000.5,12,5.0,500.25,0"


def archive(series: Sequence[Bar], *, header: bool = False, **options: int) -> str:
    lines = [archive_line(bar, **options) for bar in series]
    return "\n".join([ARCHIVE_HEADER, *lines] if header else lines) + "\n"


def export(series: Sequence[Bar], *, symbol: str = "BTCUSDC", interval: str = "1m") -> str:
    """As `query klines --format csv` prints."""
    lines = [
        f"{bar.open_time_ms},binance,{symbol},{interval},{bar.open},{bar.high},{bar.low},{bar.close},"
        f"{bar.volume},1000.5,5.0,500.25,12"
        for bar in series
    ]
    header = (
        "open_time_ms,exchange,symbol,interval,open,high,low,close,base_volume,quote_volume,"
        "taker_buy_base_volume,taker_buy_quote_volume,trade_count"
    )
    return "\n".join([header, *lines]) + "\n"


def write(path: Path, text: str) -> Path:
    """Plain, gzip or ZIP, as the name says."""
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr(path.stem + ".csv", text)
    else:
        path.write_text(text)
    return path


def table(text: str) -> list[dict[str, str]]:
    """The rows of a CSV by their names."""
    return list(csv.DictReader(text.splitlines()))
