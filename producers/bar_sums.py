"""Sums of trades, and what one interval remembers of its bars. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final

from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS
from shared.messages import TradeMessage

# 20 digits before and behind the point each, and a day of additions.
EXACT: Final = Context(prec=60)
# Final bars that a late trade may still correct, in each interval.
REMEMBERED_MS: Final = 120_000
# Final bars of which it is known longer that they have trades: an hour of seconds, 150 kB.
MOST_TRADED: Final = 3_600
_MOST_UNPROVED: Final = 1_000


@dataclass(slots=True)
class Sum:
    """Trades of one bar, or of a part of it; ids are numbers of `shared.trade_ids`."""

    first_id: int
    last_id: int
    open: str
    close: str
    high: str
    low: str
    highest: Decimal
    lowest: Decimal
    base: Decimal
    quote: Decimal
    taker_base: Decimal
    taker_quote: Decimal
    count: int

    def add(self, other: Sum) -> None:
        """Take the trades of another part of the same bar, in any order."""
        if other.first_id < self.first_id:
            self.first_id, self.open = other.first_id, other.open
        if other.last_id > self.last_id:
            self.last_id, self.close = other.last_id, other.close
        if other.highest > self.highest:
            self.high, self.highest = other.high, other.highest
        if other.lowest < self.lowest:
            self.low, self.lowest = other.low, other.lowest
        self.base = EXACT.add(self.base, other.base)
        self.quote = EXACT.add(self.quote, other.quote)
        self.taker_base = EXACT.add(self.taker_base, other.taker_base)
        self.taker_quote = EXACT.add(self.taker_quote, other.taker_quote)
        self.count += other.count

    def copy(self) -> Sum:
        """One that changes by itself."""
        return Sum(*(getattr(self, name) for name in self.__slots__))


def sum_of(trade: TradeMessage, number: int) -> Sum:
    """A trade as a sum; `number` is its one of `shared.trade_ids`."""
    text = trade["price"]
    price, quantity = Decimal(text), Decimal(trade["quantity"])
    quote = EXACT.multiply(price, quantity)
    zero = Decimal(0)
    # The taker bought if the buyer was not the maker.
    taker = (zero, zero) if trade["buyer_is_maker"] else (quantity, quote)
    return Sum(number, number, text, text, text, text, price, price, quantity, quote, *taker, 1)


class Series:
    """Sums of one interval by open time: those still open, and final ones that may be corrected.

    All times are open times in ms.

    Attributes:
        begin: the first bar of which all trades are known.
        next: the first bar that is not final.
        final: sums of final bars that a late trade may still correct.
        close: the price of flat bars that come next; None without any trade.
    """

    def __init__(self, interval: str) -> None:
        self.interval = interval
        self.step = INTERVAL_MS[interval]
        self.begin = self.next = 0
        self.sums: dict[int, Sum] = {}
        self.final: dict[int, Sum] = {}
        self.close: str | None = None
        # By open time, the price that a flat bar was given with last; as long as it may be corrected.
        self._flat: dict[int, str] = {}
        # Bar and number of the trades that `close` is of, and that the first bars have their price of if they
        # are flat. A later bar counts more than a higher number: a flat bar repeats the one before it.
        self._closing = self._before = (-1, -1)
        self._late: dict[int, int] = {}  # of final bars, the highest number of late trades; the newest ones
        self._traded: list[int] = []  # final bars with trades, in order; the newest `MOST_TRADED`
        self._doubtful: list[
            tuple[int, int, int]
        ] = []  # bars that may lack lost trades, the last one's number
        self._unproved = IdRanges()  # final bars, by open time divided by `step`

    def bar_of(self, time_ms: int) -> int:
        """Open time of the bar of a time."""
        return time_ms - time_ms % self.step

    @property
    def oldest_remembered(self) -> int:
        """The oldest bar that a late trade may still correct."""
        return self.next - max(REMEMBERED_MS, self.step)

    def add(self, time_ms: int, part: Sum) -> None:
        """Take trades of a bar that is not final."""
        open_ms = self.bar_of(time_ms)
        known = self.sums.get(open_ms)
        if known is None:
            self.sums[open_ms] = part.copy()
        else:
            known.add(part)

    def precede(self, open_ms: int, number: int, price: str) -> bool:
        """Take the price of a bar before `begin`; False if that of a later trade is known."""
        if (open_ms, number) <= self._before:
            return False
        self._before = (open_ms, number)
        self.close_with(open_ms, number, price)
        return True

    def closed_after(self, open_ms: int, number: int) -> bool:
        """Whether the newest price known is of a later bar, or of a later trade of this one."""
        return self._closing > (open_ms, number)

    def closed_in(self, open_ms: int) -> bool:
        """Whether the newest price known is of this bar."""
        return self._closing[0] == open_ms

    def close_with(self, open_ms: int, number: int, price: str) -> None:
        """Take the closing price of a bar, unless a later one is known."""
        if (open_ms, number) > self._closing:
            self._closing, self.close = (open_ms, number), price

    def finish(self, open_ms: int, part: Sum) -> None:
        """Take the sums of a bar that becomes final, after those before it."""
        self.final[open_ms] = part
        self.trade_in(open_ms)
        self.close_with(open_ms, part.last_id, part.close)

    def trade_in(self, open_ms: int) -> None:
        """Note that a final bar has a trade."""
        at = bisect_left(self._traded, open_ms)
        if at == len(self._traded) or self._traded[at] != open_ms:
            insort(self._traded, open_ms)
            del self._traded[:-MOST_TRADED]

    def note_late(self, open_ms: int, number: int) -> None:
        """Note that a final bar got a late trade."""
        self._late[open_ms] = max(number, self.late_in(open_ms))
        if len(self._late) > MOST_TRADED:
            del self._late[next(iter(self._late))]

    def late_in(self, open_ms: int) -> int:
        """The highest number of the late trades of a final bar; -1 without any."""
        return self._late.get(open_ms, -1)

    def price_flat(self, open_ms: int, price: str) -> bool:
        """Note the price that a flat bar is given with; False if it was given with that one last."""
        before = self._flat.get(open_ms)
        self._flat[open_ms] = price
        return price != before

    def flat_to(self, first_ms: int) -> int:
        """The first final bar from `first_ms` on that has trades, or else `next`.

        Of bars before the oldest known to have trades it is not known: they count as flat.
        """
        at = bisect_left(self._traded, first_ms)
        return self._traded[at] if at < len(self._traded) else self.next

    def doubt(self, first_ms: int, last_ms: int, number: int) -> tuple[int, int]:
        """Note that trades up to `number` of these bars are lost.

        Returns:
            The first and the last final bar that may lack them, or be flat at another price.
        """
        first_ms = max(first_ms, self.begin)
        self._doubtful.append((first_ms, last_ms, number))
        if self.closed_after(last_ms, number):
            return first_ms, min(last_ms, self.next - self.step)
        return first_ms, self.next - self.step

    def doubts(self, open_ms: int, *, flat: bool) -> bool:
        """Whether a bar that becomes final may lack lost trades, or the price of one if it is flat."""
        return any(
            first <= open_ms <= last or (flat and last < open_ms and not self.closed_after(last, number))
            for first, last, number in self._doubtful
        )

    def advance(self, end_ms: int) -> None:
        """All bars before `end_ms` are final; forget what can no longer be corrected."""
        self.next = max(self.next, end_ms)
        self._doubtful = [
            (first, last, number)
            for first, last, number in self._doubtful
            if last >= self.next or not self.closed_after(last, number)
        ]
        while self.final and (oldest := min(self.final)) < self.oldest_remembered:
            del self.final[oldest]
        # They were noted in their order.
        while self._flat and (oldest := next(iter(self._flat))) < self.oldest_remembered:
            del self._flat[oldest]

    def disprove(self, first_ms: int, last_ms: int) -> list[tuple[int, int]]:
        """Count bars as unproved; those that were not so before, as first and last ones."""
        if first_ms > last_ms:
            return []
        bars = IdRanges([(first_ms // self.step, last_ms // self.step)])
        new = bars.difference(self._unproved)
        self._unproved.update(bars)
        if self._unproved.range_count() > _MOST_UNPROVED:
            self._unproved.remove(*next(iter(self._unproved)))
        return [(first * self.step, last * self.step) for first, last in new]

    def proved(self, open_ms: int) -> bool:
        """Whether a final bar is not counted as unproved."""
        return open_ms // self.step not in self._unproved
