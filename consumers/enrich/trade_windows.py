"""Exact sums of trades over seconds and minutes, each trade id once (DESIGN §4.3, `trade_summary`)."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Context, Decimal, Inexact
from typing import Final

from shared.id_ranges import IdRanges

MINUTE_MS: Final = 60_000
SECOND_MS: Final = 1_000
# The open minute, the one before it, and ten for gap repairs, which come within minutes.
KEPT_MINUTES: Final = 12
# Contiguous minutes are one range, so this is a bound for symbols that trade once in a while.
_GONE_RANGES: Final = 1_000

# Prices and quantities have at most 40 digits, so a product has 80, and 10^20 of them sum up within 100.
# Inexact is trapped: a sum that had to be rounded would be an error, not a number.
_EXACT: Final = Context(prec=120, traps=[Inexact])
_QUOTIENT: Final = Context(prec=40)
_ZERO: Final = Decimal(0)
_fma = _EXACT.fma
_add = _EXACT.add

SummaryValues = tuple[int, float, float, float, float | None]


class Sums:
    """Sums over one window; decimal, so that they depend neither on order nor on batches."""

    __slots__ = ("base_volume", "quote_volume", "taker_buy_base_volume", "trade_count")

    def __init__(self) -> None:
        self.trade_count = 0
        self.base_volume = _ZERO
        self.quote_volume = _ZERO
        self.taker_buy_base_volume = _ZERO

    def add(self, price: str, quantity: str, buyer_is_maker: bool) -> None:
        exact_quantity = Decimal(quantity)
        self.trade_count += 1
        self.base_volume = _add(self.base_volume, exact_quantity)
        self.quote_volume = _fma(Decimal(price), exact_quantity, self.quote_volume)
        if not buyer_is_maker:
            self.taker_buy_base_volume = _add(self.taker_buy_base_volume, exact_quantity)

    def include(self, other: Sums) -> None:
        self.trade_count += other.trade_count
        self.base_volume = _add(self.base_volume, other.base_volume)
        self.quote_volume = _add(self.quote_volume, other.quote_volume)
        self.taker_buy_base_volume = _add(self.taker_buy_base_volume, other.taker_buy_base_volume)

    def values(self) -> SummaryValues:
        """Values in the order of `trade_summary`'s columns; no vwap without volume."""
        vwap = float(_QUOTIENT.divide(self.quote_volume, self.base_volume)) if self.base_volume else None
        return (
            self.trade_count,
            float(self.base_volume),
            float(self.quote_volume),
            float(self.taker_buy_base_volume),
            vwap,
        )


class Minute:
    """One minute of one symbol: the trade ids in it, and sums for each of its seconds.

    Attributes:
        first_offset: offset of the first record of the minute; a restart must read from there.
    """

    __slots__ = (
        "_highest_id",
        "_ids",
        "_run_first",
        "_run_last",
        "_second",
        "_sums",
        "first_offset",
        "seconds",
        "touched",
    )

    def __init__(self, first_offset: int) -> None:
        self.first_offset = first_offset
        self.seconds: dict[int, Sums] = {}
        self.touched: set[int] = set()
        self._ids = IdRanges()
        # The newest contiguous ids, not yet in `_ids`: trades come in order, and a range is cheaper to add.
        self._run_first = 0
        self._run_last = -2
        self._highest_id = -1
        # The second of the last trade, mostly that of the next one too.
        self._second = -1
        self._sums = Sums()

    def add(self, trade_id: int, second: int, price: str, quantity: str, buyer_is_maker: bool) -> bool:
        """Count a trade; False if its id was counted before."""
        if trade_id > self._highest_id:
            self._highest_id = trade_id
            if trade_id != self._run_last + 1:
                self._end_run()
                self._run_first = trade_id
            self._run_last = trade_id
        else:
            self._end_run()
            if trade_id in self._ids:
                return False
            self._ids.add(trade_id, trade_id)
        if second != self._second:
            self._second = second
            self._sums = self.seconds.setdefault(second, Sums())
            self.touched.add(second)
        self._sums.add(price, quantity, buyer_is_maker)
        return True

    def _end_run(self) -> None:
        if self._run_first <= self._run_last:
            self._ids.add(self._run_first, self._run_last)
        # An id can be 0, so an empty run must not end at -1.
        self._run_first, self._run_last = 0, -2

    def take_touched(self) -> list[int]:
        """Seconds changed since the last call."""
        touched = sorted(self.touched)
        self.touched.clear()
        self._second = -1
        return touched

    def total(self) -> Sums:
        total = Sums()
        for sums in self.seconds.values():
            total.include(sums)
        return total


class Windows:
    """The minutes of one symbol that may still change.

    A minute that was evicted, or that began before `whole_from` (the first minute of which every record was
    read), is known only in part and never returned: a partial summary must not overwrite a complete one.
    """

    __slots__ = ("_evicted", "_gone", "_minutes", "whole_from")

    def __init__(self, whole_from: int | None) -> None:
        """Args: whole_from: minutes since the epoch; None if every record ever was read."""
        self.whole_from = whole_from
        self._minutes: dict[int, Minute] = {}  # in the order of their last use
        self._evicted: list[tuple[int, Minute]] = []  # with unreported sums
        self._gone = IdRanges()

    def minute(self, number: int, offset: int) -> Minute | None:
        """The minute `number` (minutes since the epoch) for a record at `offset`; None if it is too late."""
        minute = self._minutes.pop(number, None)
        if minute is None:
            if (self.whole_from is not None and number < self.whole_from) or number in self._gone:
                return None
            minute = Minute(offset)
            if len(self._minutes) >= KEPT_MINUTES:
                # The least recently used, but never the newest: a long repair must not close the open minute.
                newest = max(self._minutes)
                self._evict(next(kept for kept in self._minutes if kept != newest))
        self._minutes[number] = minute
        return minute

    @property
    def kept_from(self) -> int:
        """The first minute above all evicted ones: of these the first offsets are not known any more."""
        last = self._gone.last
        return 0 if last is None else last + 1

    def items(self) -> Iterator[tuple[int, Minute]]:
        return iter(self._minutes.items())

    def changed(self) -> Iterator[tuple[int, Minute, list[int]]]:
        """Minutes and their seconds that changed since the last call; evicted minutes too, since a batch
        read after an outage spans hours."""
        evicted, self._evicted = self._evicted, []
        for number, minute in (*evicted, *self._minutes.items()):
            if seconds := minute.take_touched():
                yield number, minute, seconds

    def _evict(self, number: int) -> None:
        minute = self._minutes.pop(number)
        if minute.touched:
            self._evicted.append((number, minute))
        self._gone.add(number, number)
        if self._gone.range_count() > _GONE_RANGES:
            ranges = list(self._gone)
            # The older half becomes one range: minutes without any trade between them count as gone.
            self._gone.add(ranges[0][0], ranges[len(ranges) // 2][1])
