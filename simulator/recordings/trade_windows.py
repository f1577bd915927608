"""Sums over trades of the last day, by minute, so that tickers need not read some million trades."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from typing import Final

from simulator.exchange import TradeRow

_MINUTE_MS: Final = 60_000
_KEPT_MINUTES: Final = 24 * 60 + 2
_EXACT: Final = Context(prec=100)


@dataclass(slots=True)
class Sums:
    """Sums of at least one neighbouring trade."""

    first: TradeRow
    last: TradeRow
    high: Decimal
    low: Decimal
    base_volume: Decimal
    quote_volume: Decimal
    count: int

    @classmethod
    def of(cls, row: TradeRow) -> Sums:
        price = Decimal(row.price)
        return cls(row, row, price, price, Decimal(row.quantity), Decimal(row.quote_quantity), 1)

    def add(self, later: Sums) -> None:
        """Add sums of the same time or later."""
        if _place(later.first) < _place(self.first):
            self.first = later.first
        if _place(later.last) >= _place(self.last):
            self.last = later.last
        self.high, self.low = max(self.high, later.high), min(self.low, later.low)
        self.base_volume = _EXACT.add(self.base_volume, later.base_volume)
        self.quote_volume = _EXACT.add(self.quote_volume, later.quote_volume)
        self.count += later.count


class Minutes:
    """Sums of one symbol's trades by minute, of the last day."""

    def __init__(self) -> None:
        self._sums: dict[int, Sums] = {}

    def add(self, row: TradeRow) -> None:
        minute, sums = row.trade_time_ms // _MINUTE_MS, Sums.of(row)
        known = self._sums.get(minute)
        if known is not None:
            known.add(sums)
            return
        self._sums[minute] = sums
        if len(self._sums) > _KEPT_MINUTES:
            del self._sums[min(self._sums)]

    def whole_from(self, from_ms: int) -> tuple[int, list[Sums]]:
        """Begin of the first whole minute at or after a time, and the sums from there on, in order."""
        minute = -(-from_ms // _MINUTE_MS)
        return minute * _MINUTE_MS, [self._sums[at] for at in sorted(self._sums) if at >= minute]


def total(parts: Iterable[Sums]) -> Sums | None:
    """Sums of parts that follow each other; None: there are none."""
    whole: Sums | None = None
    for part in parts:
        if whole is None:
            whole = replace(part)
        else:
            whole.add(part)
    return whole


def _place(row: TradeRow) -> tuple[int, int]:
    return row.trade_time_ms, row.trade_id
