"""What an exchange issued, by its own word: its log, read as plain values."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple


class TradeKey(NamedTuple):
    """Which trade: ids may begin anew, then the time tells two of one id apart."""

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
class Truth:
    """Attributes:
    trades: of each symbol, price and quantity by id and time.
    bars: of each symbol and interval, closed bars by open time.
    lies: in words, what was sent and never issued.
    """

    trades: Mapping[str, Mapping[TradeKey, tuple[float, ...]]]
    bars: Mapping[BarSeries, Mapping[int, Bar]]
    lies: tuple[str, ...] = field(default=())


BAR_FIELDS: Final = ("open", "high", "low", "close", "base_volume", "trade_count")


def truth_of(entries: Iterable[Mapping[str, Any]]) -> Truth:
    """Truth from the log's entries, in any order."""
    trades: defaultdict[str, dict[TradeKey, tuple[float, ...]]] = defaultdict(dict)
    bars: defaultdict[BarSeries, dict[int, Bar]] = defaultdict(dict)
    lies: list[str] = []
    for entry in entries:
        match entry["kind"]:
            case "trade":
                key = TradeKey(entry["trade_id"], entry["trade_time_ms"])
                trades[entry["symbol"]][key] = (float(entry["price"]), float(entry["quantity"]))
            case "kline":
                numbers = tuple(float(entry[name]) for name in BAR_FIELDS)
                series = BarSeries(entry["symbol"], entry["interval"])
                bars[series][entry["open_time_ms"]] = Bar(entry["close_time_ms"], numbers)
            case "lie":
                told = (f"{name} {value}" for name, value in entry.items() if name not in ("kind", "fault"))
                lies.append(f"{entry['fault']}: {', '.join(told)}")
    return Truth(dict(trades), dict(bars), tuple(lies))


def read_truth(path: Path) -> Truth:
    """The log of `cryptostream simulate --log`."""
    with path.open(encoding="utf-8") as lines:
        return truth_of(json.loads(line) for line in lines)
