"""Contents of a store, read with sqlite3 from SQLite and by Flux over HTTP from InfluxDB."""

from __future__ import annotations

import csv
import json
import sqlite3
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from oracle.exchange_log import BAR_FIELDS, BarSeries, TradeKey
from oracle.processes import OPENER

_NS_A_MS: Final = 1_000_000
# Where ids have begun anew, a stored id is the numbering times this, plus the exchange's id.
_NUMBERING_SPAN: Final = 2**53
_TIMEOUT_S: Final = 60.0
# Columns that are read of each table.
_TRADE: Final = ("symbol", "time_ns", "trade_id", "price", "quantity")
_KLINE: Final = ("symbol", "interval", "time_ns", *BAR_FIELDS)
_LEDGER: Final = ("symbol", "stream", "interval", "time_ns", "stored")


@dataclass(frozen=True, slots=True)
class Stored:
    """Attributes:
    trades: rows of each symbol, in any order; the same trade may occur twice.
    bars: by symbol and interval, then by open time.
    claimed: how many trades or bars the stored ledger claims, by (symbol, stream, interval or "").
    """

    trades: Mapping[str, list[tuple[TradeKey, tuple[float, ...]]]] = field(default_factory=dict)
    bars: Mapping[BarSeries, Mapping[int, tuple[float, ...]]] = field(default_factory=dict)
    claimed: Mapping[tuple[str, str, str], int] = field(default_factory=dict)


_Row = Mapping[str, Any]
_READS: Final = 20
_AGAIN_S: Final = 0.5


def stored_of(trades: Iterable[_Row], klines: Iterable[_Row], ledger: Iterable[_Row]) -> Stored:
    """The contents from plain rows, whose columns have DESIGN's names."""
    of_symbol: defaultdict[str, list[tuple[TradeKey, tuple[float, ...]]]] = defaultdict(list)
    for row in trades:
        key = TradeKey(int(row["trade_id"]) % _NUMBERING_SPAN, int(row["time_ns"]) // _NS_A_MS)
        of_symbol[row["symbol"]].append((key, (float(row["price"]), float(row["quantity"]))))
    bars: defaultdict[BarSeries, dict[int, tuple[float, ...]]] = defaultdict(dict)
    for row in klines:
        series = BarSeries(row["symbol"], row["interval"])
        bars[series][int(row["time_ns"]) // _NS_A_MS] = tuple(float(row[name]) for name in BAR_FIELDS)
    claimed: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for row in ledger:
        claimed[row["symbol"], row["stream"], row.get("interval") or ""] += int(row.get("stored") or 0)
    return Stored(dict(of_symbol), dict(bars), dict(claimed))


def read_sqlite(path: Path) -> Stored | None:
    """The SQLite store, which may be in use; None if there is no such file."""
    if not path.is_file():
        return None
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}

        def rows(table: str, columns: tuple[str, ...]) -> list[_Row]:
            if table not in tables:
                return []
            names = ", ".join(f'"{name}"' for name in columns)
            return [dict(row) for row in connection.execute(f'SELECT {names} FROM "{table}"')]

        return stored_of(rows("trade", _TRADE), rows("kline", _KLINE), rows("ledger", _LEDGER))


def read_influxdb(url: str, org: str, token: str, buckets: Iterable[str]) -> Stored:
    """The InfluxDB store: all points of these measurements in its buckets.

    Raises:
        OSError: it does not answer.
    """
    buckets = list(buckets)
    for _ in range(_READS):
        found: defaultdict[str, list[_Row]] = defaultdict(list)
        for bucket in buckets:
            for measurement in ("trade", "kline", "ledger"):
                found[measurement] += _flux(url, org, token, _query(bucket, measurement))
        if all(row.get(name) is not None for row in found["kline"] for name in BAR_FIELDS):
            break
        # A query concurrent with a write may see only some fields of a point.
        time.sleep(_AGAIN_S)
    return stored_of(found["trade"], found["kline"], found["ledger"])


def _query(bucket: str, measurement: str) -> str:
    return (
        f'from(bucket: "{bucket}") |> range(start: 1970-01-01T00:00:00Z, stop: 2200-01-01T00:00:00Z)'
        f' |> filter(fn: (r) => r._measurement == "{measurement}")'
        ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
        " |> map(fn: (r) => ({r with time_ns: int(v: r._time)}))"
    )


def _flux(url: str, org: str, token: str, query: str) -> Iterator[_Row]:
    request = urllib.request.Request(
        f"{url}/api/v2/query?org={org}",
        data=json.dumps({"query": query, "dialect": {"annotations": []}}).encode(),
        headers={"Authorization": f"Token {token}", "Content-Type": "application/json"},
    )
    with OPENER.open(request, timeout=_TIMEOUT_S) as answer:
        text = answer.read().decode()
    names: list[str] = []
    # Each table repeats its names, after an empty line.
    for line in csv.reader(text.splitlines()):
        if not line:
            names = []
        elif not names:
            names = line
        else:
            yield {name: value or None for name, value in zip(names, line, strict=True)}
