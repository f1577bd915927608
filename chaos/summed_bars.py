"""Bars before the log's own, of an exchange that streams none: summed up from its log of trades. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal

from chaos.exchange_log import ExactTrade, Numbers

# 20 digits before and behind the point each, and a day of additions.
_EXACT = Context(prec=60)


def summed(trades: Mapping[int, ExactTrade], unit: int, first_ms: int, end_ms: int) -> dict[int, Numbers]:
    """The bars that open from `first_ms` on and before `end_ms`, flat where there was no trade.

    Args:
        trades: by number, all of these bars', and of the last one before them.
        unit: length of the bars in ms.
    """
    within: dict[int, list[ExactTrade]] = {}
    for trade_number in sorted(trades):
        trade = trades[trade_number]
        if trade.time_ms < end_ms:
            within.setdefault(trade.time_ms // unit * unit, []).append(trade)
    # Of the last bar before, which need not have the highest number: times may be out of their order.
    before = max((open_ms for open_ms in within if open_ms < first_ms), default=None)
    close = None if before is None else within[before][-1].price
    bars: dict[int, Numbers] = {}
    for open_ms in range(first_ms, end_ms, unit):
        if open_ms in within:
            bars[open_ms] = _bar(within[open_ms])
            close = within[open_ms][-1].price
        elif close is not None:
            bars[open_ms] = (*[float(close)] * 4, 0.0, 0.0, 0.0, 0.0, 0.0)
    return bars


def without_holes(bars: Mapping[int, Numbers], unit: int) -> dict[int, Numbers]:
    """The bars, and a flat one for each interval between them that the log has none of.

    Where bars are built from trades, an interval without trades has a flat one, also while the exchange is
    closed, which leaves its bars out.
    """
    filled: dict[int, Numbers] = {}
    last_ms: int | None = None
    for open_ms in sorted(bars):
        if last_ms is not None:
            close = bars[last_ms][3]
            for flat_ms in range(last_ms + unit, open_ms, unit):
                filled[flat_ms] = (*[close] * 4, 0.0, 0.0, 0.0, 0.0, 0.0)
        filled[open_ms] = bars[open_ms]
        last_ms = open_ms
    return filled


def _bar(trades: list[ExactTrade]) -> Numbers:
    """In the order of `BAR_FIELDS`."""
    prices = [Decimal(trade.price) for trade in trades]
    quantities = [Decimal(trade.quantity) for trade in trades]
    values = [_EXACT.multiply(*pair) for pair in zip(prices, quantities, strict=True)]
    bought = [not trade.buyer_is_maker for trade in trades]
    sums = (
        _sum(quantities),
        _sum(values),
        _sum(quantity for quantity, taken in zip(quantities, bought, strict=True) if taken),
        _sum(value for value, taken in zip(values, bought, strict=True) if taken),
    )
    ends = (prices[0], max(prices), min(prices), prices[-1])
    return (*map(float, ends), *map(float, sums), float(len(trades)))


def _sum(numbers: Iterable[Decimal]) -> Decimal:
    total = Decimal(0)
    for number in numbers:
        total = _EXACT.add(total, number)
    return total
