"""Every trade of one symbol once; holes are found by id and repaired late (DESIGN §5).

Source of the rules: BINANCE_SPOT.md §4.2 (ids rise by 1), §8.4 (historicalTrades).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from producers.effects import PAGE, RETRY_DELAYS_S, Effect, FillTrades, LedgerEvent, Publish
from shared.id_ranges import IdRanges
from shared.messages import TradeMessage
from shared.topics import TRADES

# Trades that are fetched for the time we were switched off: 100 requests, 2,500 of 6,000 weight a minute.
TRADE_FILL_BOUND: Final = 100_000
# Holes kept at a time; with more, the oldest is given up. One arises per lost connection at most.
MAX_HOLES: Final = 1_000


class TradeSequence:
    """One series of trades: published at once, repaired trades later."""

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._last: int | None = None  # highest id seen
        self._first = 0  # lowest id that belongs to the series
        self._missing = IdRanges()
        self._hole_ends: list[tuple[int, int]] = []  # (last id of a hole, time of the trade after it)
        self._filling = False
        self._attempt = 0
        self._resuming = False

    @property
    def filling(self) -> bool:
        """An answer of REST is awaited."""
        return self._filling

    @property
    def missing(self) -> int:
        """How many ids are known to be missing for now."""
        return len(self._missing)

    def begin(
        self, last_id: int | None, later: Iterable[tuple[int, int]] = (), time_ms: int = 0
    ) -> list[Effect]:
        """Start after what is on the topic already (DESIGN §5.5); without `last_id` with the first one seen.

        Args:
            last_id: up to here nothing is missing.
            later: ranges of ids above `last_id` that are on the topic too.
            time_ms: trade time of the highest of them.
        """
        if last_id is None:
            return []
        self._last, self._first, self._resuming = last_id, last_id, True
        for first, last in IdRanges(later):
            if first > self._last + 1:
                self._add_hole(self._last + 1, first - 1, time_ms)
            self._last = max(self._last, last)
        return self._fill()

    def receive(self, trade: TradeMessage) -> list[Effect]:
        """Take a trade of the stream."""
        trade_id = trade["trade_id"]
        if self._last is not None and trade_id == self._last + 1:
            self._last = trade_id
            self._resuming = False
            return [Publish(TRADES, trade, None if self._missing else trade_id)]
        return self._receive_out_of_step(trade, trade_id)

    def _receive_out_of_step(self, trade: TradeMessage, trade_id: int) -> list[Effect]:
        if self._last is None:
            self._last = self._first = trade_id
            return [Publish(TRADES, trade, trade_id)]
        if trade_id <= self._last:
            if trade_id not in self._missing:
                return [LedgerEvent("duplicate", trade_id, trade_id, trade["trade_time_ms"])]
            self._missing.remove(trade_id, trade_id)
            return [Publish(TRADES, trade)]
        first, last, time_ms = self._last + 1, trade_id - 1, trade["trade_time_ms"]
        self._last = trade_id
        effects: list[Effect] = [Publish(TRADES, trade), LedgerEvent("gap", first, last, time_ms)]
        if self._resuming:
            self._resuming = False
            if last - first + 1 > TRADE_FILL_BOUND:
                offline_last = last - TRADE_FILL_BOUND
                effects.append(
                    LedgerEvent("offline", first, offline_last, time_ms, "more than can be fetched again")
                )
                first = offline_last + 1
        return effects + self._add_hole(first, last, time_ms) + self._fill()

    def receive_rows(
        self, first: int, last: int, rows: Sequence[TradeMessage], oldest_available: int = 0
    ) -> list[Effect]:
        """Take the trades that REST has between the ids `first` and `last`, ascending; more are welcome.

        Args:
            oldest_available: REST has none below this id, and never will.
        """
        self._filling = False
        effects: list[Effect] = []
        for row in rows:
            trade_id = row["trade_id"]
            if trade_id in self._missing:
                self._missing.remove(trade_id, trade_id)
                effects.append(Publish(TRADES, row))
        if oldest_available > 0:
            effects += self._give_up(0, oldest_available - 1, "older than what the exchange gives")
        if not self._missing.intersection_count(first, last):
            self._attempt = 0
        elif self._attempt < len(RETRY_DELAYS_S):
            self._attempt += 1
        else:
            self._attempt = 0
            effects += self._give_up(first, last, "the exchange does not have it")
        return effects + self._fill()

    def _add_hole(self, first: int, last: int, time_ms: int) -> list[Effect]:
        self._missing.add(first, last)
        self._hole_ends.append((last, time_ms))
        ranges = list(self._missing)
        if len(ranges) <= MAX_HOLES:
            return []
        return self._give_up(*ranges[0], "too many holes at once")

    def _give_up(self, first: int, last: int, reason: str) -> list[Effect]:
        ranges = [
            (max(first, low), min(last, high)) for low, high in self._missing if low <= last and high >= first
        ]
        for low, high in ranges:
            self._missing.remove(low, high)
        return [LedgerEvent("lost", low, high, self._time_of(high), reason) for low, high in ranges]

    def _time_of(self, trade_id: int) -> int:
        """Trade time of the first known trade after a hole: the nearest to what nobody can know."""
        index = bisect_left(self._hole_ends, (trade_id, 0))
        return self._hole_ends[min(index, len(self._hole_ends) - 1)][1]

    def _fill(self) -> list[Effect]:
        if self._filling:
            return []
        if not self._missing:
            self._hole_ends.clear()
            return []
        self._filling = True
        first, last = next(iter(self._missing))
        delay_s = RETRY_DELAYS_S[self._attempt - 1] if self._attempt else 0.0
        return [FillTrades(self._symbol, first, min(last, first + PAGE - 1), delay_s)]
