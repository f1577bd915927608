"""The search for a time from which few pages reach a trade of a given id. Pure.

Each page of trades since a time moves one of two bounds: to it, if they begin at the id or above, or if there
are none; else to the last trade on it below the id. So no time is asked for twice, and the search ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from producers.doubtful_trades import DISORDER_MS
from producers.exchanges.kraken.trade_index import TradeIndex
from shared.messages import TradeMessage

# How far back guesses look while no earlier trade is known, each four times as far as the one before.
_BACK_MS: Final = 3_600_000
_FARTHER: Final = 4
# From a known trade so many pages before the id, it is reached page by page.
_NEAR: Final = 3
# A market with one pace is searched by it; another one, of bursts and quiet, by halves.
_BY_PACE: Final = 2


class TradeSearch:
    """The search for one id.

    It takes at most 51 pages: 1 at the trade before a hole, or 10 that look back over the 13 years that the
    exchange exists; 2 by the pace; 39 that halve 13 years down to a millisecond.

    Args:
        page: rows of a full page.
        before_ms: time of a trade below the id; 0 if none is known.
        now_ms: no trade is later.
    """

    def __init__(self, index: TradeIndex, trade_id: int, page: int, *, before_ms: int, now_ms: int) -> None:
        self._trade_id, self._page = trade_id, page
        self._low = index.before(trade_id)
        high = index.after(trade_id)
        # Trades later than this have the id or higher ones: the lowest of these that is known, if any.
        self._high_id: int | None = None if high is None else high[0]
        self._high_ms = now_ms if high is None else high[1]
        self._now_ms = now_ms
        self._high_is_given = high is not None
        self._back_ms, self._by_pace = _BACK_MS, _BY_PACE
        self._ended = False
        self._first_ms: int | None = None
        if before_ms and self._low is None:
            self._low, self._ended = (0, before_ms), True
        elif before_ms and self._low is not None:
            # The later one is nearer. Its id is not known, which the first page shows.
            self._first_ms = before_ms - 1 if before_ms > self._low[1] else None
            self._low = self._low[0], max(self._low[1], before_ms)

    @property
    def found_ms(self) -> int | None:
        """Time of a trade below the id, 0 if there is none, as soon as it is near or no other is nearer."""
        low = self._low
        if low is None:
            return 0 if self._ended else None
        near = self._trade_id - low[0] <= _NEAR * self._page
        return low[1] if self._ended or near or low[1] >= self._high_ms else None

    def guess_ms(self) -> int:
        """Trades since when are to be read next; only while nothing is found."""
        if self._low is None:
            self._back_ms, back_ms = self._back_ms * _FARTHER, self._back_ms
            return max(0, self._high_ms - back_ms)
        if self._first_ms is not None:
            first_ms, self._first_ms = self._first_ms, None
            return first_ms
        low_id, low_ms = self._low
        if self._by_pace:
            self._by_pace -= 1
            if self._high_id is None:
                guess_ms = self._high_ms - _BACK_MS
            else:
                # Half a page below it, by the pace between the two.
                share = (self._trade_id - self._page / 2 - low_id) / (self._high_id - low_id)
                guess_ms = low_ms + int((self._high_ms - low_ms) * share)
            return min(max(guess_ms, low_ms), self._high_ms - 1)
        return (low_ms + self._high_ms) // 2

    def receive(self, since_ms: int, trades: Sequence[TradeMessage], rows: int) -> None:
        """Take the page since the time that was asked for.

        Args:
            trades: ascending.
            rows: number of rows, those that could not be read included.
        """
        below = [trade for trade in trades if trade["trade_id"] < self._trade_id]
        if not below:
            self._high_ms = since_ms
            self._high_id, self._high_is_given = trades[0]["trade_id"] if trades else None, False
            # The time is the first that there is: no trade is below.
            self._ended = since_ms <= 0
            return
        newest = below[-1]
        low_ms = 0 if self._low is None else self._low[1]
        # Times may be out of order: the bounds narrow nevertheless.
        self._low = newest["trade_id"], max(newest["trade_time_ms"], since_ms + 1, low_ms)
        if self._high_is_given and newest["trade_time_ms"] > self._high_ms + DISORDER_MS:
            # The trade that was known above the id is of a numbering that has ended.
            self._high_id, self._high_ms, self._high_is_given = None, self._now_ms, False
        # A page that is not full ends with the newest trade of all: the id was not issued yet.
        self._ended = len(below) == len(trades) and rows < self._page
