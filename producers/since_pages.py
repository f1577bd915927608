"""Missing trades over REST by pages that go up in time, while times may be out of the order of ids. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from producers.doubtful_trades import DISORDER_MS
from producers.trade_pages import KRAKEN, ROUNDED_MS, Rules, Since, TradePages
from shared.messages import TradeMessage

# How far before a trade a page must begin that has all after it: its time may be rounded, and that of a later
# one be out of order. A second of trades is less than a page.
EARLIER_MS: Final = DISORDER_MS + 2 * ROUNDED_MS
# How far before the trade before the hole the first page begins, growing while this trade is not on it.
_STEPS_BACK_MS: Final = (EARLIER_MS, 60_000, 600_000)
_NS: Final = 1_000_000


class SincePages(TradePages):
    """Pages that go up in time from before the hole, each with the time where it ends (Kraken).

    Args:
        before_ms: time of the trade before the hole.
    """

    def __init__(
        self, first: int, last: int, held: Iterable[TradeMessage], *, before_ms: int, rules: Rules = KRAKEN
    ) -> None:
        super().__init__(first, last, held, rules)
        self._before_ms = before_ms
        self._back = iter(_STEPS_BACK_MS)
        self._begin_ms = self._end_ms = max(0, before_ms - next(self._back))
        self._since_ns = self._begin_ms * _NS
        self._whole = True

    def request(self) -> Since:
        """The page that is wanted; only while not `done`."""
        return Since(self._since_ns)

    def receive(self, rows: Sequence[TradeMessage], end_ns: int, count: int) -> None:
        """Take the page that was asked for.

        Args:
            end_ns: the exchange's `last`, the time of the newest row.
            count: number of rows, those that could not be read included.
        """
        edge = self._highest if self._found else None
        self._whole = self._whole and count == len(rows)
        if not self._take(rows, edge):
            return
        self._end_ms = end_ns // _NS
        if edge is None and not self._reaches_below():
            return
        if count < self._rules.page or self._has_all() or self._reaches_above():
            # A page that is not full ends with the newest trade of all.
            self._done = True
        elif self._highest == edge:
            self._stop(f"a full page has no trade after {edge}")
        else:
            highest = self._found.get(self._highest)
            self._since_ns = again_ns(highest, self._since_ns, end_ns)
            self._go_on()

    def _never_among(self, absent: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """None if a row could not be read: it may be of any of them."""
        trades = [self._found[each] for each in sorted(self._found)]
        return never_issued(absent, trades, self._begin_ms, self._end_ms) if self._whole else []

    def _has_all(self) -> bool:
        """Whether it goes beyond the hole and nothing is missing, or could be proved to be no trade."""
        if self._highest <= self.last:
            return False
        return not self._whole or all(each in self._found for each in range(self.first, self.last + 1))

    def _reaches_above(self) -> bool:
        """Whether the pages end late enough to prove what is absent."""
        above = (row["trade_time_ms"] for trade_id, row in self._found.items() if trade_id > self.last)
        above_ms = min(above, default=None)
        return above_ms is not None and above_ms + DISORDER_MS < self._end_ms

    def _reaches_below(self) -> bool:
        """Whether the first page begins early enough; otherwise an earlier one is asked for."""
        below = (row["trade_time_ms"] for trade_id, row in self._found.items() if trade_id < self.first)
        below_ms = max(below, default=None)
        if below_ms is not None and (
            self._begin_ms + DISORDER_MS < below_ms or not self._whole or self._has_all()
        ):
            return True
        back_ms = next(self._back, None)
        if back_ms is None or not self._since_ns:
            # The pair's first trades, or none that is known: what was found is genuine nevertheless.
            return True
        self._found.clear()
        self._begin_ms = max(0, self._before_ms - back_ms)
        self._since_ns = self._begin_ms * _NS
        return False


def again_ns(trade: TradeMessage | None, since_ns: int, end_ns: int) -> int:
    """Since when a page begins with a trade that was on the page since `since_ns`, which ended at `end_ns`.

    Times may be out of order: the trade with the highest id need not be the newest.
    """
    at_ns = 0 if trade is None else trade["trade_time_ms"] * _NS
    # Trades have milliseconds only: a page that lies within one would come again.
    return (at_ns if at_ns > since_ns + 1 else max(1, end_ns)) - 1


def settled(trades: Sequence[TradeMessage], end_ms: int) -> Sequence[TradeMessage]:
    """The trades of a page between which no later page can have another, though times be out of order.

    Args:
        trades: with ascending ids, up to the page's end.
    """
    last = max(
        (at for at, trade in enumerate(trades) if trade["trade_time_ms"] + DISORDER_MS < end_ms), default=-1
    )
    return trades[: last + 1]


def never_issued(
    absent: Iterable[tuple[int, int]], trades: Sequence[TradeMessage], begin_ms: int, end_ms: int
) -> list[tuple[int, int]]:
    """Those of absent ids that would be among the trades of a span of time if they belonged to any.

    Ids rise with time, but for `DISORDER_MS`: the span must go beyond the trades on both sides by as much.

    Args:
        absent: ranges of ids, both inclusive, of which no trade is.
        trades: all later than `begin_ms` and before `end_ms`, with ascending ids.
    """
    ids = [trade["trade_id"] for trade in trades]
    times = [trade["trade_time_ms"] for trade in trades]
    latest_below = list(accumulate(times, max))
    earliest_above = list(accumulate(reversed(times), min))[::-1]
    found: list[tuple[int, int]] = []
    for low, high in absent:
        at = bisect_left(ids, low)
        if (
            0 < at < len(ids)
            and begin_ms + DISORDER_MS < latest_below[at - 1]
            and earliest_above[at] + DISORDER_MS < end_ms
        ):
            found.append((low, high))
    return found
