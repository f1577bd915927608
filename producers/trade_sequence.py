"""Every trade of one symbol once; holes are found by id and repaired late (DESIGN §5).

Source of the rules: BINANCE_SPOT.md §4.2 (ids rise by 1), §8.4 (historicalTrades), §8.5 (aggTrades).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from producers.effects import PAGE, Effect, FillTrades, LedgerEvent, ProveTrades, Publish
from producers.found_ids import FoundRange
from producers.gaps import KIND_BY_CAUSE, Place, cause_of_trades, place
from producers.halts import Halts
from producers.missing_ids import MAX_HOLES, MissingIds, MissingRange
from shared.id_ranges import IdRanges
from shared.messages import TradeMessage
from shared.topics import TRADES

_NEVER_ISSUED: Final = "aggTrades prove that they were never issued"


class TradeSequence:
    """One series of trades: published at once, repaired trades later.

    What REST does not have after the first answers is expected all the same, and checked against aggTrades,
    which may prove that ids were never issued. The rest is asked for again and again, for a day, before it is
    given up as `lost`, or as `halted` or `offline` where that is why it is missing.

    Args:
        halts: read only; when the exchange was closed.
    """

    def __init__(self, symbol: str, halts: Halts) -> None:
        self._symbol = symbol
        self._halts = halts
        self._last: int | None = None  # highest id seen
        self._last_ms: int | None = None  # its trade time
        self._missing = MissingIds()
        # Of the missing ids those entered as expected, and those that aggTrades prove to be trades.
        self._expected = IdRanges()
        self._proved = IdRanges()
        self._filling = False
        self._resuming = False

    @property
    def filling(self) -> bool:
        """An answer of REST is awaited, or may have what the last one did not have yet."""
        return self._filling or self._missing.soon

    @property
    def missing(self) -> int:
        """How many ids are known to be missing for now."""
        return len(self._missing)

    def awaits(self, first: int, last: int) -> bool:
        """Whether some of the ids `first` to `last` may still come."""
        return self._last is None or last > self._last or any(self._missing.within(first, last))

    def begin(
        self,
        last_id: int | None,
        later: Iterable[FoundRange] = (),
        missing: Iterable[MissingRange] = (),
    ) -> list[Effect]:
        """Start after what is on the topic already (DESIGN §5.5); without `last_id` with the first one seen.

        Args:
            last_id: up to here nothing is missing but `missing`.
            later: ids above `last_id` that are on the topic too, sorted.
        """
        if last_id is None:
            return []
        self._last, self._resuming = last_id, True
        effects: list[Effect] = []
        for hole in missing:
            effects += self._add(hole)
        for found in later:
            if found.first > self._last + 1:
                hole = MissingRange(
                    self._last + 1, found.first - 1, self._last_ms, found.first_ms, offline=False
                )
                effects += self._add(hole)
            self._last, self._last_ms = found.last, found.last_ms
        return effects + self._fill()

    def open_holes(self) -> Iterable[MissingRange]:
        """What is missing for now, in order."""
        return iter(self._missing)

    def receive(self, trade: TradeMessage) -> list[Effect]:
        """Take a trade of the stream."""
        trade_id = trade["trade_id"]
        # What `place` would say, inline: this is every trade of a busy market.
        if self._last is not None and trade_id == self._last + 1:
            self._last, self._last_ms = trade_id, trade["trade_time_ms"]
            self._resuming = False
            return [Publish(TRADES, trade, trade_id)]
        return self._receive_out_of_step(trade, trade_id)

    def _receive_out_of_step(self, trade: TradeMessage, trade_id: int) -> list[Effect]:
        time_ms = trade["trade_time_ms"]
        if self._last is None:
            self._last, self._last_ms = trade_id, time_ms
            return [Publish(TRADES, trade, trade_id)]
        if place(self._last, trade_id, trade_id) is Place.SEEN:
            if trade_id not in self._missing:
                return [LedgerEvent("duplicate", trade_id, trade_id, time_ms)]
            self._settle(trade_id, trade_id)
            return [Publish(TRADES, trade)]
        first, last, before_ms = self._last + 1, trade_id - 1, self._last_ms
        offline, self._resuming = self._resuming, False
        self._last, self._last_ms = trade_id, time_ms
        cause = cause_of_trades(before_ms, time_ms, offline=offline, halts=self._halts)
        hole = MissingRange(first, last, before_ms, time_ms, offline)
        return [
            Publish(TRADES, trade, trade_id),
            LedgerEvent("gap", first, last, time_ms, cause),
            *self._add(hole),
            *self._fill(),
        ]

    def retry(self, now_s: float) -> list[Effect]:
        """Ask again for what is due; `now_s` is of a clock that only goes forward. Call it once a second."""
        return self._fill(now_s)

    def receive_rows(
        self,
        first: int,
        last: int,
        rows: Sequence[TradeMessage] | None,
        now_s: float,
        oldest_available: int = 0,
    ) -> list[Effect]:
        """Take the trades that REST has between the ids `first` and `last`, ascending; more are welcome.

        Args:
            rows: None if REST refused to answer.
            now_s: as in `retry`.
            oldest_available: REST has none below this id, for now.
        """
        self._filling = False
        effects: list[Effect] = []
        for row in rows or ():
            trade_id = row["trade_id"]
            if trade_id in self._missing:
                self._settle(trade_id, trade_id)
                effects.append(Publish(TRADES, row))
        if first < oldest_available:
            # Asking page by page for what cannot be had would take hours, and find nothing.
            last = max(last, oldest_available - 1)
        exhausted = self._missing.unanswered(first, last, now_s)
        if exhausted:
            effects += self._give_up(exhausted, now_s)
        unproved = [missing for missing in self._missing.within(first, last) if not missing.soon]
        if unproved:
            return effects + self._prove(unproved)
        return effects + self._fill(now_s)

    def receive_proof(
        self,
        asked: ProveTrades,
        issued: Iterable[tuple[int, int]],
        never: Iterable[tuple[int, int]],
        now_s: float,
    ) -> list[Effect]:
        """Take what aggTrades say of ids that REST does not have as trades.

        Args:
            issued: ranges of ids proved to be trades.
            never: ranges of ids proved to be none; nobody expects them.
            now_s: as in `retry`.
        """
        self._filling = False
        effects: list[Effect] = []
        for low, high in never:
            effects += self._never_issued(max(asked.first, low), min(asked.last, high))
        for low, high in issued:
            for missing in self._missing.within(low, high):
                self._proved.add(missing.first, missing.last)
        for missing in list(self._missing.within(asked.first, asked.last)):
            if not missing.soon:
                effects += self._expect(missing)
        return effects + self._fill(now_s)

    def _settle(self, first: int, last: int) -> None:
        """These ids are missing no more."""
        for ids in (self._missing, self._expected, self._proved):
            ids.remove(first, last)

    def _never_issued(self, first: int, last: int) -> list[Effect]:
        """What was already expected is excused; the rest nobody has heard of."""
        effects: list[Effect] = []
        if first <= last:
            after_ms = max((missing.after_ms for missing in self._missing.within(first, last)), default=0)
            for low, high in list(self._expected.within(first, last)):
                effects.append(LedgerEvent("halted", low, high, after_ms, _NEVER_ISSUED))
            self._settle(first, last)
        return effects

    def _expect(self, missing: MissingRange) -> list[Effect]:
        """From now on the ledger knows that these are missing, whatever becomes of this process."""
        if self._expected.intersection_count(missing.first, missing.last) == missing.last - missing.first + 1:
            return []
        self._expected.add(missing.first, missing.last)
        proved = self._proved.intersection_count(missing.first, missing.last)
        detail = f"the exchange does not have them for now; aggTrades prove {proved} of them"
        return [LedgerEvent("expected", missing.first, missing.last, missing.after_ms, detail)]

    def _prove(self, unproved: Sequence[MissingRange]) -> list[Effect]:
        self._filling = True
        # Without a time before the hole, aggregates from shortly before its end have to do.
        begin_ms = unproved[0].after_ms if unproved[0].before_ms is None else unproved[0].before_ms
        first, last, end_ms = unproved[0].first, unproved[-1].last, unproved[-1].after_ms
        return [ProveTrades(self._symbol, first, last, begin_ms, end_ms)]

    def _add(self, hole: MissingRange) -> list[Effect]:
        if self._missing.range_count() < MAX_HOLES:
            self._missing.add(hole)
            return []
        # Expected and not stored: nobody asks for it any more, and nobody can call it complete.
        detail = f"{MAX_HOLES:,} holes are open, more are not followed; `cryptostream repair` fetches it"
        return [LedgerEvent("expected", hole.first, hole.last, hole.after_ms, detail)]

    def _give_up(self, exhausted: Iterable[MissingRange], now_s: float) -> list[Effect]:
        effects: list[Effect] = []
        for missing in exhausted:
            cause = cause_of_trades(
                missing.before_ms, missing.after_ms, offline=missing.offline, halts=self._halts
            )
            ids = IdRanges([(missing.first, missing.last)])
            # A halt explains ids that nobody traded, none that aggTrades have.
            traded = (
                IdRanges(self._proved.within(missing.first, missing.last))
                if cause == "halted"
                else IdRanges()
            )
            kinds = [(KIND_BY_CAUSE[cause], ids.difference(traded)), (KIND_BY_CAUSE["missed"], traded)]
            effects += [
                LedgerEvent(kind, low, high, missing.after_ms, missing.asking(now_s))
                for kind, ranges in kinds
                for low, high in ranges
            ]
            self._settle(missing.first, missing.last)
        return effects

    def _fill(self, now_s: float = -math.inf) -> list[Effect]:
        """Ask for a page: the oldest hole that is due, and those after it that the page reaches.

        Without a time only what was never asked for is due.
        """
        page = None if self._filling else self._missing.due(now_s, PAGE)
        if page is None:
            return []
        self._filling = True
        return [FillTrades(self._symbol, *page)]
