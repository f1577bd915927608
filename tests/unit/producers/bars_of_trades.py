"""Trades, and the bars that an exchange makes of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from shared.intervals import INTERVAL_MS
from tests.builders import NOW_MS, kline, trade

# (price in cents, quantity in thousandths, whether the buyer is the maker)
Made = tuple[int, int, bool]


def text(value: Decimal) -> str:
    return f"{value:.8f}"


def issued(trade_id: int, of: Made) -> Any:
    price, quantity, maker = of
    return trade(
        trade_id=trade_id,
        price=text(Decimal(price) / 100),
        quantity=text(Decimal(quantity) / 1000),
        buyer_is_maker=maker,
    )


def bar(number: int, trades: dict[int, Made], close: str = "1.00000000", interval: str = "1m") -> Any:
    """Bar `number` from NOW_MS on as an exchange makes it, in the plainest way."""
    step = INTERVAL_MS[interval]
    open_time_ms = NOW_MS + number * step
    times = {"interval": interval, "open_time_ms": open_time_ms, "close_time_ms": open_time_ms + step - 1}
    prices = [Decimal(price) / 100 for price, _, _ in trades.values()]
    rows = [(Decimal(p) / 100, Decimal(q) / 1000, maker) for p, q, maker in trades.values()]
    values: dict[str, Any] = {
        "open": text(prices[0]) if prices else close,
        "high": text(max(prices)) if prices else close,
        "low": text(min(prices)) if prices else close,
        "close": text(prices[-1]) if prices else close,
        "base_volume": text(sum((q for _, q, _ in rows), Decimal(0))),
        "quote_volume": text(sum((p * q for p, q, _ in rows), Decimal(0))),
        "trade_count": len(rows),
        "taker_buy_base_volume": text(sum((q for _, q, maker in rows if not maker), Decimal(0))),
        "taker_buy_quote_volume": text(sum((p * q for p, q, maker in rows if not maker), Decimal(0))),
        "first_trade_id": min(trades, default=-1),
        "last_trade_id": max(trades, default=-1),
    }
    return kline(**times, **values)


def market(sizes: list[list[Made]], interval: str = "1m") -> tuple[dict[int, Made], list[Any]]:
    """Trades from id 101 on and the bars that hold them."""
    trades: dict[int, Made] = {}
    bars = []
    close = "1.00000000"
    for number, of_bar in enumerate(sizes):
        mine = {101 + len(trades) + index: one for index, one in enumerate(of_bar)}
        trades |= mine
        bars.append(bar(number, mine, close, interval))
        close = bars[-1]["close"]
    return trades, bars
