"""Every trade of one symbol once; holes are found by id and repaired late (DESIGN §5).

Source of the rules: BINANCE_SPOT.md §4.2 (ids rise by 1), §8.4 (historicalTrades), §8.5 (aggTrades).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from producers.effects import (
    PAGE,
    RETRY_DELAYS_S,
    Effect,
    FillTrades,
    LedgerEvent,
    ProveTrades,
    Publish,
)
from producers.gaps import KIND_BY_CAUSE, Place, cause_of_trades, place
from producers.halts import Halts
from shared.id_ranges import IdRanges
from shared.messages import TradeMessage
from shared.topics import TRADES

# Trades that are fetched for the time we were switched off: 100 requests, 2,500 of 6,000 weight a minute.
TRADE_FILL_BOUND: Final = 100_000
# Holes kept at a time; with more, the oldest is given up. One arises per lost connection at most.
MAX_HOLES: Final = 1_000


class _Edge(NamedTuple):
    """What surrounds a hole as it was found: trade times of its neighbours."""

    last: int
    before_ms: int | None
    after_ms: int
    offline: bool


class TradeSequence:
    """One series of trades: published at once, repaired trades later.

    What REST does not have after the retries is checked against aggTrades, which may prove that ids were
    never issued; the rest is given up as `lost`, or as `halted` or `offline` where that is why it is missing.

    Args:
        halts: read only; when the exchange was closed.
    """

    def __init__(self, symbol: str, halts: Halts) -> None:
        self._symbol = symbol
        self._halts = halts
        self._last: int | None = None  # highest id seen
        self._last_ms: int | None = None  # its trade time
        self._missing = IdRanges()
        self._edges: list[_Edge] = []  # by last id of the hole
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

    def awaits(self, first: int, last: int) -> bool:
        """Whether some of the ids `first` to `last` may still come."""
        return self._last is None or last > self._last or self._missing.intersection_count(first, last) > 0

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
        self._last, self._resuming = last_id, True
        for first, last in IdRanges(later):
            if first > self._last + 1:
                self._add_hole(self._last + 1, first - 1, None, time_ms, offline=False)
            self._last = max(self._last, last)
            self._last_ms = time_ms
        return self._fill()

    def receive(self, trade: TradeMessage) -> list[Effect]:
        """Take a trade of the stream."""
        trade_id = trade["trade_id"]
        # What `place` would say, inline: this is every trade of a busy market.
        if self._last is not None and trade_id == self._last + 1:
            self._last, self._last_ms = trade_id, trade["trade_time_ms"]
            self._resuming = False
            return [Publish(TRADES, trade, None if self._missing else trade_id)]
        return self._receive_out_of_step(trade, trade_id)

    def _receive_out_of_step(self, trade: TradeMessage, trade_id: int) -> list[Effect]:
        time_ms = trade["trade_time_ms"]
        if self._last is None:
            self._last, self._last_ms = trade_id, time_ms
            return [Publish(TRADES, trade, trade_id)]
        if place(self._last, trade_id, trade_id) is Place.SEEN:
            if trade_id not in self._missing:
                return [LedgerEvent("duplicate", trade_id, trade_id, time_ms)]
            self._missing.remove(trade_id, trade_id)
            return [Publish(TRADES, trade)]
        first, last, before_ms = self._last + 1, trade_id - 1, self._last_ms
        offline, self._resuming = self._resuming, False
        self._last, self._last_ms = trade_id, time_ms
        cause = cause_of_trades(before_ms, time_ms, offline=offline, halts=self._halts)
        effects: list[Effect] = [Publish(TRADES, trade), LedgerEvent("gap", first, last, time_ms, cause)]
        if offline and last - first + 1 > TRADE_FILL_BOUND:
            offline_last = last - TRADE_FILL_BOUND
            effects.append(
                LedgerEvent("offline", first, offline_last, time_ms, "more than can be fetched again")
            )
            first = offline_last + 1
        return effects + self._add_hole(first, last, before_ms, time_ms, offline=offline) + self._fill()

    def receive_rows(
        self, first: int, last: int, rows: Sequence[TradeMessage], oldest_available: int = 0
    ) -> list[Effect]:
        """Take the trades that REST has between the ids `first` and `last`, ascending; more are welcome.

        Args:
            oldest_available: REST has none below this id, for now.
        """
        self._filling = False
        effects: list[Effect] = []
        for row in rows:
            trade_id = row["trade_id"]
            if trade_id in self._missing:
                self._missing.remove(trade_id, trade_id)
                effects.append(Publish(TRADES, row))
        unavailable_last = min(oldest_available - 1, last)
        if not self._missing.intersection_count(first, last):
            self._attempt = 0
        elif self._attempt < len(RETRY_DELAYS_S):
            self._attempt += 1
        elif self._missing.intersection_count(first, unavailable_last):
            return effects + self._prove(first, unavailable_last, "older than what the exchange gives")
        else:
            return effects + self._prove(first, last, "the exchange does not have it")
        return effects + self._fill()

    def receive_proof(
        self, asked: ProveTrades, issued: Iterable[tuple[int, int]], never: Iterable[tuple[int, int]]
    ) -> list[Effect]:
        """Take what aggTrades say of ids that REST does not have as trades.

        Args:
            issued: ranges of ids proved to be trades.
            never: ranges of ids proved to be none; nobody expects them.
        """
        first, last = asked.first, asked.last
        self._filling, self._attempt = False, 0
        for low, high in never:
            if max(first, low) <= min(last, high):
                self._missing.remove(max(first, low), min(last, high))
        proved = IdRanges(issued)
        return self._give_up(first, last, asked.reason, proved) + self._fill()

    def _prove(self, first: int, last: int, reason: str) -> list[Effect]:
        ranges = list(self._missing.within(first, last))
        before, after = self._edge_of(ranges[0][1]), self._edge_of(ranges[-1][1])
        self._filling = True
        # Without a time before the hole, aggregates from shortly before its end have to do.
        begin_ms = before.before_ms if before.before_ms is not None else before.after_ms
        first, last = ranges[0][0], ranges[-1][1]
        return [ProveTrades(self._symbol, first, last, begin_ms, after.after_ms, reason)]

    def _add_hole(
        self, first: int, last: int, before_ms: int | None, after_ms: int, *, offline: bool
    ) -> list[Effect]:
        self._missing.add(first, last)
        self._edges.append(_Edge(last, before_ms, after_ms, offline))
        if self._missing.range_count() <= MAX_HOLES:
            return []
        oldest = next(iter(self._missing))
        return self._give_up(*oldest, "too many holes at once", IdRanges())

    def _give_up(self, first: int, last: int, reason: str, proved: IdRanges) -> list[Effect]:
        effects: list[Effect] = []
        for low, high in list(self._missing.within(first, last)):
            self._missing.remove(low, high)
            edge = self._edge_of(high)
            cause = cause_of_trades(edge.before_ms, edge.after_ms, offline=edge.offline, halts=self._halts)
            kind = KIND_BY_CAUSE[cause]
            count = proved.intersection_count(low, high)
            detail = f"{reason}; aggTrades prove {count} of them" if count else reason
            effects.append(LedgerEvent(kind, low, high, edge.after_ms, detail))
        return effects

    def _edge_of(self, trade_id: int) -> _Edge:
        """The hole that the id belonged to when it was found."""
        index = bisect_left(self._edges, trade_id, key=lambda edge: edge.last)
        return self._edges[min(index, len(self._edges) - 1)]

    def _fill(self) -> list[Effect]:
        """Ask for a page: the oldest hole, and those after it that the page reaches."""
        if self._filling:
            return []
        if not self._missing:
            self._edges.clear()
            return []
        self._filling = True
        first, _ = next(iter(self._missing))
        del self._edges[: bisect_left(self._edges, first, key=lambda edge: edge.last)]
        *_, (_, last) = self._missing.within(first, first + PAGE - 1)
        delay_s = RETRY_DELAYS_S[self._attempt - 1] if self._attempt else 0.0
        return [FillTrades(self._symbol, first, last, delay_s)]
