"""Bounds of spread and price jump, learned from a symbol's last day. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from pipelines.snapshots.rows import SnapshotRow

# Two hours of five minutes: fewer values do not represent a day.
_ENOUGH: Final = 24
# 20 median absolute deviations of a normal distribution are 13 sigma; prices have fatter tails, and
# quarantining a true row in a volatile minute costs more than keeping a slightly wrong one.
_DEVIATIONS: Final = 20.0
_LEAST_SPREAD_PERCENT: Final = 0.5
_LEAST_JUMP: Final = 0.02
# Before a day was learned.
_FIRST_SPREAD_PERCENT: Final = 5.0
_FIRST_JUMP: Final = 0.10


@dataclass(frozen=True, slots=True)
class Bounds:
    """Attributes:
    spread_percent: widest accepted spread.
    jump: largest |ln(price ÷ price one slot before)|; over n slots √n times that.
    """

    spread_percent: float = _FIRST_SPREAD_PERCENT
    jump: float = _FIRST_JUMP


def learn(rows: Iterable[SnapshotRow], interval_ms: int) -> dict[str, Bounds]:
    """Bounds by symbol, from the rows of a day."""
    spreads: defaultdict[str, list[float]] = defaultdict(list)
    prices: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in rows:
        if "spread_percent" in row.measures:
            spreads[row.symbol].append(float(row.measures["spread_percent"]))
        if row.measures.get("last_price"):
            prices[row.symbol].append((row.slot_ms, float(row.measures["last_price"])))
    return {
        symbol: Bounds(
            _upper(spreads[symbol], _LEAST_SPREAD_PERCENT, _FIRST_SPREAD_PERCENT),
            _upper(_jumps(priced, interval_ms), _LEAST_JUMP, _FIRST_JUMP),
        )
        for symbol, priced in prices.items()
    }


def jump(before: float, now: float) -> float:
    """|ln(now ÷ before)| of two prices above 0."""
    return abs(math.log(now / before))


def last_prices(rows: Sequence[SnapshotRow]) -> Mapping[str, tuple[int, float]]:
    """Slot and price of the newest row of each symbol that has one."""
    newest: dict[str, tuple[int, float]] = {}
    for row in rows:
        price = row.measures.get("last_price")
        if price and row.slot_ms >= newest.get(row.symbol, (0, 0.0))[0]:
            newest[row.symbol] = (row.slot_ms, float(price))
    return newest


def _jumps(prices: Sequence[tuple[int, float]], interval_ms: int) -> list[float]:
    ordered = sorted(prices)
    return [
        jump(before, now)
        for (slot_before, before), (slot, now) in pairwise(ordered)
        if slot - slot_before == interval_ms
    ]


def _upper(values: Sequence[float], least: float, otherwise: float) -> float:
    if len(values) < _ENOUGH:
        return otherwise
    middle = median(values)
    deviation = median(abs(value - middle) for value in values)
    return max(least, middle + _DEVIATIONS * deviation)
