"""The columns of a snapshot, declared once: schema, checks, DDL and docs are derived from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["text", "time", "decimal", "count"]

# 20 digits before the point and 18 behind it: Snowflake's NUMBER and Parquet's decimal128 hold 38.
PRECISION: Final = 38
SCALE: Final = 18


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        unit: of its values.
        source: where values come from.
        klines: can be computed from klines after the slot.
        measure: a figure of the market, null where unknown.
    """

    name: str
    kind: Kind
    unit: str
    source: str
    klines: bool = False
    measure: bool = True


def _measure(name: str, unit: str, source: str, *, klines: bool = False, kind: Kind = "decimal") -> Column:
    return Column(name, kind, unit, source, klines)


def _fact(name: str, kind: Kind, unit: str, source: str) -> Column:
    return Column(name, kind, unit, source, measure=False)


_QUOTE: Final = "quote asset"
_BASE: Final = "base asset"

COLUMNS: Final[tuple[Column, ...]] = (
    _fact("exchange", "text", "–", "binance"),
    _fact("symbol", "text", "–", "settings"),
    _fact("slot", "time", "UTC", "the scheduled instant, from the scheduler"),
    _fact("status", "text", "–", "complete, backfilled or missing"),
    _fact("reason", "text", "–", "why it is not complete; null if it is"),
    _fact("origin", "text", "–", "scheduled, manual or backfill: what kind of run took it"),
    _fact(
        "observed_time",
        "time",
        "UTC",
        "our clock, set to the exchange's, when the last answer came; missing: when that was entered",
    ),
    _measure("exchange_time", "UTC", "ticker/24hr closeTime; klines: the slot", klines=True, kind="time"),
    _measure("last_price", _QUOTE, "ticker/24hr lastPrice; klines: close of the last bar", klines=True),
    _measure("change_24h", _QUOTE, "ticker/24hr priceChange; klines: close − first open", klines=True),
    _measure("change_24h_percent", "%", "ticker/24hr priceChangePercent; klines: of first open", klines=True),
    _measure("high_24h", _QUOTE, "ticker/24hr highPrice; klines: highest high", klines=True),
    _measure("low_24h", _QUOTE, "ticker/24hr lowPrice; klines: lowest low", klines=True),
    _measure("base_volume_24h", _BASE, "ticker/24hr volume; klines: sum", klines=True),
    _measure("quote_volume_24h", _QUOTE, "ticker/24hr quoteVolume; klines: sum", klines=True),
    _measure(
        "weighted_average_price_24h",
        _QUOTE,
        "ticker/24hr weightedAvgPrice; klines: quote volume ÷ base volume",
        klines=True,
    ),
    _measure("best_bid", _QUOTE, "depth, first bid"),
    _measure("best_bid_quantity", _BASE, "depth, first bid"),
    _measure("best_ask", _QUOTE, "depth, first ask"),
    _measure("best_ask_quantity", _BASE, "depth, first ask"),
    _measure("spread", _QUOTE, "best_ask − best_bid"),
    _measure("spread_percent", "%", "spread ÷ middle of best_bid and best_ask × 100"),
    _measure("last_trades_mean_price", _QUOTE, "trades: mean of the last 5 prices, not weighted"),
    _measure("last_trades_volume", _BASE, "trades: sum of the last 5 quantities"),
    _measure("last_trades_count", "trades", "trades: how many of the 5 there were", kind="count"),
)

MEASURES: Final = tuple(column for column in COLUMNS if column.measure)
NAMES: Final = tuple(column.name for column in COLUMNS)
KEY: Final = ("exchange", "symbol", "slot")
