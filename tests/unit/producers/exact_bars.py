"""Bars summed up from trades in the plainest way, to hold those of producers against."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from shared.intervals import INTERVAL_MS
from shared.messages import KlineMessage, TradeMessage

Numbers = tuple[Any, ...]


def exact(trades: Sequence[TradeMessage], interval: str, first_ms: int, last_ms: int) -> dict[int, Numbers]:
    """The bars that open from `first_ms` to `last_ms`, as the trades have them."""
    step = INTERVAL_MS[interval]
    within: dict[int, list[TradeMessage]] = {}
    for each in sorted(trades, key=lambda each: each["trade_id"]):
        within.setdefault(each["trade_time_ms"] // step * step, []).append(each)
    before = [open_ms for open_ms in within if open_ms < first_ms]
    close = within[max(before)][-1]["price"] if before else None
    bars: dict[int, Numbers] = {}
    for open_ms in range(first_ms, last_ms + 1, step):
        own = within.get(open_ms, [])
        if own:
            close = own[-1]["price"]
            bars[open_ms] = summed(own)
        elif close is not None:
            bars[open_ms] = (*[close] * 4, *[Decimal(0)] * 4, 0, -1, -1)
    return bars


def summed(own: Sequence[TradeMessage]) -> Numbers:
    prices = [each["price"] for each in own]
    bought = [each for each in own if not each["buyer_is_maker"]]
    return (
        prices[0],
        max(prices, key=Decimal),
        min(prices, key=Decimal),
        prices[-1],
        sum((Decimal(each["quantity"]) for each in own), Decimal(0)),
        sum((Decimal(each["quantity"]) * Decimal(each["price"]) for each in own), Decimal(0)),
        sum((Decimal(each["quantity"]) for each in bought), Decimal(0)),
        sum((Decimal(each["quantity"]) * Decimal(each["price"]) for each in bought), Decimal(0)),
        len(own),
        own[0]["trade_id"],
        own[-1]["trade_id"],
    )


def numbers_of(bar: KlineMessage) -> Numbers:
    volumes = ("base_volume", "quote_volume", "taker_buy_base_volume", "taker_buy_quote_volume")
    return (
        *(bar[name] for name in ("open", "high", "low", "close")),
        *(Decimal(bar[name]) for name in volumes),  # type: ignore[literal-required]
        *(bar["trade_count"], bar["first_trade_id"], bar["last_trade_id"]),
    )
