"""What the exchange issued, from its log, as the store must have it. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from shared.id_ranges import IdRanges
from shared.trade_ids import number

# The fields of `kline` in their order (DESIGN §4.3).
BAR_FIELDS = (
    "open",
    "high",
    "low",
    "close",
    "base_volume",
    "quote_volume",
    "taker_buy_base_volume",
    "taker_buy_quote_volume",
    "trade_count",
)
_NS_A_MS = 1_000_000

Numbers = tuple[float | None, ...]
BarSeries = tuple[str, str]  # symbol, interval


class TradePoint(NamedTuple):
    """A `trade` point: times are nanoseconds, as DESIGN §4.3 makes them from time and id; ids are numbers
    (`shared.trade_ids`)."""

    trade_id: int
    time_ns: int
    price: float
    quantity: float
    buyer_is_maker: bool


class ExactTrade(NamedTuple):
    """A trade as the log has it."""

    time_ms: int
    price: str
    quantity: str
    buyer_is_maker: bool


class ExchangeLog:
    """All issued records, and counts of those withheld or altered by faults.

    Attributes:
        trades: by symbol and number. exact: the same with all digits.
        bars: by series and open time. depth: update ids by symbol.
        withheld: records by (fault, stream).
    """

    def __init__(self) -> None:
        self.trades: defaultdict[str, dict[int, TradePoint]] = defaultdict(dict)
        self.exact: defaultdict[str, dict[int, ExactTrade]] = defaultdict(dict)
        self.bars: defaultdict[BarSeries, dict[int, Numbers]] = defaultdict(dict)
        self.depth: defaultdict[str, IdRanges] = defaultdict(IdRanges)
        self.withheld: Counter[tuple[str, str]] = Counter()

    def receive(self, entry: Mapping[str, Any]) -> None:
        """Take an entry of the log; other kinds than records are skipped."""
        match entry["kind"]:
            case "trade":
                trade_id = entry["trade_id"]
                trade_number = number(entry.get("numbering", 0), trade_id)
                self.exact[entry["symbol"]][trade_number] = ExactTrade(
                    entry["trade_time_ms"], entry["price"], entry["quantity"], entry["buyer_is_maker"]
                )
                self.trades[entry["symbol"]][trade_number] = TradePoint(
                    trade_number,
                    entry["trade_time_ms"] * _NS_A_MS + trade_id % _NS_A_MS,
                    float(entry["price"]),
                    float(entry["quantity"]),
                    entry["buyer_is_maker"],
                )
            case "kline":
                numbers = tuple(float(entry[name]) for name in BAR_FIELDS)
                self.bars[entry["symbol"], entry["interval"]][entry["open_time_ms"]] = numbers
            case "depth":
                self.depth[entry["symbol"]].add(entry["first_update_id"], entry["final_update_id"])
            case "withheld":
                self.withheld[entry["fault"], entry["stream"]] += 1


def read_exchange_log(lines: Iterable[bytes]) -> ExchangeLog:
    """The simulator's log, one JSON object a line."""
    exchange_log = ExchangeLog()
    for line in lines:
        exchange_log.receive(orjson.loads(line))
    return exchange_log
