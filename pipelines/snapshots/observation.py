"""An observation of a symbol, and the complete row made of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Final

from pipelines.snapshots.rows import Origin, SnapshotRow, fitting, rounded
from producers.exchanges.registry import exchange_named
from producers.exchanges.rest_port import DayTicker
from shared.errors import InvalidMessage
from shared.messages import DepthMessage, TradeMessage

LAST_TRADES: Final = 5
BOOK_LEVELS: Final = 5
EXCHANGE: Final = "binance"
SOURCE: Final = exchange_named(EXCHANGE)


@dataclass(frozen=True, slots=True)
class Observation:
    """Ticker, book and last trades of a symbol; `observed_time_ms` is our clock at the last answer."""

    symbol: str
    ticker: DayTicker
    book: DepthMessage
    trades: Sequence[TradeMessage]
    observed_time_ms: int


def complete_row(observation: Observation, slot_ms: int, origin: Origin) -> SnapshotRow:
    """The complete row of a slot.

    Raises:
        InvalidMessage: a measure is missing or invalid.
    """
    ticker, book = observation.ticker, observation.book
    bid, bid_quantity = _first("bids", book["bids"])
    ask, ask_quantity = _first("asks", book["asks"])
    trades = sorted(observation.trades, key=lambda trade: trade["trade_id"])[-LAST_TRADES:]
    if not trades:
        raise InvalidMessage("trades", [], "at least one trade")
    ids = [trade["trade_id"] for trade in trades]
    if len(set(ids)) != len(ids):
        raise InvalidMessage("trades", ids, "each trade once")
    prices = [Decimal(trade["price"]) for trade in trades]
    with localcontext(prec=60):
        spread = ask - bid
        measures = {
            "last_price": ticker.last_price,
            "change_24h": ticker.change,
            "change_24h_percent": ticker.change_percent,
            "high_24h": ticker.high,
            "low_24h": ticker.low,
            "base_volume_24h": ticker.base_volume,
            "quote_volume_24h": ticker.quote_volume,
            "weighted_average_price_24h": ticker.weighted_average_price,
            "best_bid": bid,
            "best_bid_quantity": bid_quantity,
            "best_ask": ask,
            "best_ask_quantity": ask_quantity,
            "spread": spread,
            "spread_percent": rounded(spread / ((ask + bid) / 2) * 100),
            "last_trades_mean_price": rounded(sum(prices, Decimal()) / len(prices)),
            "last_trades_volume": sum((Decimal(trade["quantity"]) for trade in trades), Decimal()),
        }
    _check_numbers(measures)
    return SnapshotRow(
        exchange=EXCHANGE,
        symbol=observation.symbol,
        slot_ms=slot_ms,
        status="complete",
        reason=None,
        origin=origin,
        observed_time_ms=observation.observed_time_ms,
        measures={"exchange_time": ticker.close_time_ms, **measures, "last_trades_count": len(trades)},
    )


def _first(side: str, levels: Sequence[Sequence[str]]) -> tuple[Decimal, Decimal]:
    if not levels:
        raise InvalidMessage(side, levels, "a side of the book with at least one level")
    price, quantity = Decimal(levels[0][0]), Decimal(levels[0][1])
    if price <= 0:
        raise InvalidMessage(side, price, "a price above 0")
    return price, quantity


def _check_numbers(measures: dict[str, Decimal]) -> None:
    for name, value in measures.items():
        if not fitting(value):
            raise InvalidMessage(name, value, "a number below 10^20 with at most 18 decimals")
