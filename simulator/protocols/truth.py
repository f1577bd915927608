"""Bars of exchanges that stream none: for the log alone, as the exact sums of their trades."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.world.feed import Source
from simulator.world.kline_feed import KlineSource
from simulator.world.market import Market
from simulator.world.rows import kline_row


def closed_bars(market: Market, interval: str, after_ms: int) -> Source:
    """The closed bars of an interval; each payload has `symbol`, `interval` and `row`."""

    def make(bar: Any, _time_ms: int, closed: bool) -> Mapping[str, Any] | None:
        if not closed:
            return None
        return {"symbol": market.symbol, "interval": interval, "row": kline_row(market, bar)}

    return KlineSource(market, interval, 0, after_ms, make)
