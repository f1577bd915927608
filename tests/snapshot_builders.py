"""Builders of the snapshot pipeline's values, with defaults that make sense."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from pipelines.snapshots.columns import MEASURES
from pipelines.snapshots.rows import Measure, Origin, SnapshotRow, Status

FIVE_MINUTES: Final = 300_000
SLOT: Final = 1_785_767_100_000  # 2026-08-03T14:25Z
_VALUES: Final[Mapping[str, str]] = {
    "last_price": "100.5",
    "change_24h": "1.5",
    "change_24h_percent": "1.515",
    "high_24h": "102",
    "low_24h": "98",
    "base_volume_24h": "1000",
    "quote_volume_24h": "100000",
    "weighted_average_price_24h": "100",
    "best_bid": "100.4",
    "best_bid_quantity": "2",
    "best_ask": "100.6",
    "best_ask_quantity": "3",
    "spread": "0.2",
    "spread_percent": "0.199004975124378109",
    "last_trades_mean_price": "100.5",
    "last_trades_volume": "5",
}


def row(
    slot_ms: int = SLOT,
    status: Status = "complete",
    *,
    symbol: str = "BTCUSDT",
    reason: str | None = None,
    origin: Origin = "scheduled",
    observed_ms: int | None = None,
    **changed: str,
) -> SnapshotRow:
    """A row that keeps the laws of its status, and all rules of quality."""
    observed_ms = slot_ms + 400 if observed_ms is None else observed_ms
    known = {
        column.name: _value(column.name, slot_ms, changed)
        for column in MEASURES
        if status == "complete" or (status == "backfilled" and column.klines)
    }
    if reason is None and status != "complete":
        reason = "not taken"
    return SnapshotRow("binance", symbol, slot_ms, status, reason, origin, observed_ms, known)


def _value(name: str, slot_ms: int, changed: Mapping[str, str]) -> Measure:
    if name == "exchange_time":
        return slot_ms + 300
    if name == "last_trades_count":
        return 5
    return Decimal(changed.get(name, _VALUES[name]))


def ticker_body(symbol: str = "BTCUSDT", **changed: Any) -> dict[str, Any]:
    """An answer of ticker/24hr."""
    return {
        "symbol": symbol,
        "priceChange": "1.50000000",
        "priceChangePercent": "1.515",
        "weightedAvgPrice": "100.00000000",
        "lastPrice": "100.50000000",
        "highPrice": "102.00000000",
        "lowPrice": "98.00000000",
        "volume": "1000.00000000",
        "quoteVolume": "100000.00000000",
        "openTime": SLOT + 300 - 86_400_000,
        "closeTime": SLOT + 300,
        **changed,
    }


def depth_body(**changed: Any) -> dict[str, Any]:
    """An answer of depth."""
    return {
        "lastUpdateId": 7,
        "bids": [["100.40000000", "2.00000000"], ["100.30000000", "1.00000000"]],
        "asks": [["100.60000000", "3.00000000"]],
        **changed,
    }


def trade_rows(*prices: str) -> list[dict[str, Any]]:
    """An answer of trades, each of quantity 1."""
    return [
        {"id": 10 + place, "price": price, "qty": "1.0", "time": SLOT + place, "isBuyerMaker": False}
        for place, price in enumerate(prices or ("100.5",) * 5)
    ]
