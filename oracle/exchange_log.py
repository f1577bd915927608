"""What an exchange issued: its log, read as plain values."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple


class TradeKey(NamedTuple):
    """Identity of a trade; the time tells two of one id apart where ids begin anew."""

    trade_id: int
    time_ms: int


class BarSeries(NamedTuple):
    symbol: str
    interval: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A closed bar; `numbers` in the order of `BAR_FIELDS`."""

    close_time_ms: int
    numbers: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ExchangeLog:
    """Attributes:
    trades: by symbol, price and quantity by id and time.
    bars: by symbol and interval, closed bars by open time.
    """

    trades: Mapping[str, Mapping[TradeKey, tuple[float, ...]]]
    bars: Mapping[BarSeries, Mapping[int, Bar]]


BAR_FIELDS: Final = ("open", "high", "low", "close", "base_volume", "trade_count")


def exchange_log_of(entries: Iterable[Mapping[str, Any]]) -> ExchangeLog:
    """The log from its entries, in any order; lies were sent but never issued."""
    trades: defaultdict[str, dict[TradeKey, tuple[float, ...]]] = defaultdict(dict)
    bars: defaultdict[BarSeries, dict[int, Bar]] = defaultdict(dict)
    for entry in entries:
        match entry["kind"]:
            case "trade":
                key = TradeKey(entry["trade_id"], entry["trade_time_ms"])
                trades[entry["symbol"]][key] = (float(entry["price"]), float(entry["quantity"]))
            case "kline":
                numbers = tuple(float(entry[name]) for name in BAR_FIELDS)
                series = BarSeries(entry["symbol"], entry["interval"])
                bars[series][entry["open_time_ms"]] = Bar(entry["close_time_ms"], numbers)
    return ExchangeLog(dict(trades), dict(bars))


def read_exchange_log(path: Path) -> ExchangeLog:
    """The log of `cryptostream simulate --log`."""
    with path.open(encoding="utf-8") as lines:
        return exchange_log_of(json.loads(line) for line in lines)
