"""Every trade of one symbol once; holes are found by id and repaired late (DESIGN §5).

Ids are counted as numbers (`shared.trade_ids`), so that those of a numbering that begins anew are others.

Source of the rules: BINANCE_SPOT.md §4.2 (ids rise by 1), §8.4 (historicalTrades), §8.5 (aggTrades).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from producers.doubtful_trades import (
    DISORDER_MS,
    Classification,
    DoubtfulTrades,
    Mark,
    can_follow,
    lie_of,
    mark_of,
)
from producers.effects import (
    AskNewestTrades,
    Distrust,
    Effect,
    FillTrades,
    LedgerEvent,
    ProveTrades,
    Publish,
    Reject,
)
from producers.exchanges.rest_port import PAGE, Beside
from producers.gaps import Continuity, cause_of_trades, continuity
from producers.given_up_trades import given_up
from producers.halts import Halts
from producers.held_trades import HeldTrades
from producers.missing_ids import MAX_HOLES, MissingIds, MissingRange, misplaced
from producers.silence_probe import LaterBar
from producers.start_positions import FoundRange
from shared.id_ranges import IdRanges
from shared.messages import TradeMessage
from shared.topics import TRADES
from shared.trade_ids import EPOCH_SPAN, number_of, shown

# After so long without an answer the trades asked for are missing, whatever the answer will be.
_UNANSWERED_S: Final = 10.0
_NOT_BROUGHT: Final = "known to be issued, not brought by the stream"
_BEFORE_THE_FIRST: Final = "issued after the subscription, before the first one received"
# An accepted trade's time may be wrong by so much, see `parse`.
_OUT_OF_ORDER_MS: Final = 10_000
# Neighbouring bars make one range: there are so many only with holes between bars.
_MOST_COUNTED: Final = 1_000
_OF_OLD_NUMBERING: Final = "the exchange's trade ids have begun anew: these now belong to other trades"


class TradeSequence:
    """One series of trades: published at once, repaired trades later.

    Trades that REST lacks after the first answers are expected nevertheless, and checked against aggTrades,
    which may prove that ids were never issued. The rest is asked for repeatedly, for a day, before it counts
    as `lost`, or by cause as `halted` or `offline`. A trade whose id does not fit its time is doubtful: it is
    held while REST is asked for its newest trades.

    Args:
        halts: read only; when the exchange was closed.
        by_time: REST is asked by time, so requests say what is known of the trades around the missing ones.
        by_neighbours: the trades beside the missing ones prove what REST has.
    """

    def __init__(
        self, symbol: str, halts: Halts, *, by_time: bool = False, by_neighbours: bool = False
    ) -> None:
        self._symbol = symbol
        self._by_time = by_time
        self._held = HeldTrades() if by_neighbours else None
        self._proof = "pages of REST" if by_time or by_neighbours else "aggTrades"  # what proves an id
        self._halts = halts
        self._last: int | None = None  # highest number seen
        self._last_ms: int | None = None  # its trade time
        self._base = 0  # the number of the present numbering's id 0
        # The next id of the fast path; None after the first numbering, and if the next trade may be one of
        # the doubtful ones.
        self._in_step: int | None = None
        # A series without rows begins after the newest trade issued before the subscription, not with the
        # first one received, which others may precede. `_after` is that base, once it is known.
        self._awaits_base = False
        self._after: int | None = None
        self._begun_with: Mark | None = None
        self._first: Mark | None = None  # the lowest one received or known, while the base is awaited
        self._doubtful = DoubtfulTrades()
        self.suspects = False  # REST is asked whether ids have begun anew, though no trade is held
        self._missing = MissingIds()
        # Missing ids that were entered as expected, and those that aggTrades prove to be trades.
        self._expected = IdRanges()
        self._proved = IdRanges()
        self._counted = IdRanges()  # by bars with as many ids as trades
        self._filling = False
        self._open_since_s: float | None = None  # since when a request was seen to be unanswered
        self._resuming = False

    @property
    def filling(self) -> bool:
        """An answer of REST is awaited, or the next one may soon have missing trades."""
        return self._filling or self._missing.soon

    @property
    def missing(self) -> int:
        """Number of missing ids."""
        return self._missing.id_count()

    @property
    def doubtful(self) -> int:
        """Number of doubtful trades held."""
        return len(self._doubtful)

    @property
    def doubtful_since_ms(self) -> int | None:
        """When the first doubtful trade was received; None while there is none."""
        return self._doubtful.since_ms

    @property
    def complete_to(self) -> int | None:
        """The newest id of the present numbering, if nothing is missing or doubtful."""
        if self._last is None or self._missing or self._doubtful:
            return None
        return self._last - self._base

    @property
    def highest(self) -> int | None:
        """The highest number known to be issued."""
        return self._last

    @property
    def settled(self) -> bool:
        """No trade is doubtful, and the newest one known to be issued has come: the missing lie below it."""
        return not self._doubtful and (self._last is None or self._last not in self._missing)

    @property
    def awaits_base(self) -> bool:
        """It is not known yet after which trade the series begins."""
        return self._awaits_base

    @property
    def epoch(self) -> int:
        """The exchange's present numbering."""
        return self._base // EPOCH_SPAN

    def awaits(self, first: int, last: int) -> bool:
        """Whether some of the exchange's ids `first` to `last` may still come."""
        if self._doubtful:
            return True
        first, last = first + self._base, last + self._base
        return self._last is None or last > self._last or any(self._missing.within(first, last))

    def begin(
        self,
        last_id: int | None,
        later: Iterable[FoundRange] = (),
        time_ms: int = 0,
        missing: Iterable[MissingRange] = (),
    ) -> list[Effect]:
        """Start after what the topic has (DESIGN §5.5); without `last_id` with the first trade received.

        Args:
            last_id: number up to which only `missing` is missing.
            later: numbers above `last_id` that the topic has too, sorted.
            time_ms: trade time of `last_id`; 0 if unknown.
        """
        if last_id is None:
            return []
        self._last, self._resuming = last_id, True
        self._last_ms = time_ms or None
        self._begun_with = Mark(last_id + 1, self._last_ms)
        if self._held is not None:
            self._held.mark(last_id, time_ms)
        effects: list[Effect] = []
        for hole in missing:
            # An earlier process may have been killed before it reported this.
            effects += [*self._add(hole), *self._expect(hole, "missing since an earlier start")]
            if self._held is not None:
                self._held.mark(hole.first - 1, hole.before_ms or 0)
        for found in later:
            # The end of a numbering is unknown; the next one counts from 1, as exchanges do.
            before = max(self._last, found.first - found.first % EPOCH_SPAN)
            if found.first > before + 1:
                hole = MissingRange(before + 1, found.first - 1, self._last_ms, found.first_ms, offline=False)
                effects += self._add(hole)
            self._last, self._last_ms = found.last, found.last_ms
            if self._held is not None:
                self._held.mark(found.last, found.last_ms)
        self._base = self._last - self._last % EPOCH_SPAN
        self._find_step()
        return effects + self._forget_numberings() + self._fill()

    def open_holes(self) -> Iterable[MissingRange]:
        """Missing ids, in order."""
        return iter(self._missing)

    def try_next(self, trade_id: int, time_ms: int) -> bool:
        """Take the next trade of the stream, if it can be published at once with its id; nothing else is due.

        Args:
            time_ms: its trade time.
        """
        # Nearly every trade of a busy market: `_take` inline.
        if trade_id != self._in_step:
            return False
        self._last, self._last_ms = trade_id, time_ms
        self._in_step = trade_id + 1
        self._resuming = False
        return True

    def receive(self, trade: TradeMessage) -> list[Effect]:
        """Take a trade of the stream."""
        trade_id = trade["trade_id"]
        if self.try_next(trade_id, trade["trade_time_ms"]):
            return [Publish(TRADES, trade, trade_id)]
        effects = self._receive_out_of_step(trade)
        self._find_step()
        return effects

    def _find_step(self) -> None:
        """Set the id of the fast path: the next one, if it cannot be one of the doubtful trades."""
        plain = not self._base and self._doubtful.newest_id != self._last and self._held is None
        self._in_step = self._last + 1 if plain and self._last is not None else None

    def _receive_out_of_step(self, trade: TradeMessage) -> list[Effect]:
        if self._doubtful.followed_by(trade) or not self._is_possible(trade):
            return [AskNewestTrades(self._symbol, 0.0)] if self._doubtful.hold(trade) else []
        return self._take(trade)

    def _is_possible(self, trade: TradeMessage) -> bool:
        """Whether the trade's id fits its time, by the newest trade known."""
        if self._last is None:
            return True
        known = Mark(self._last - self._base, self._last_ms)
        if trade["trade_id"] > known.trade_id:
            return can_follow(known, mark_of(trade))
        # Ids rise with time: a known id with a later time than the newest is another trade.
        seen = known.time_ms is not None and trade["trade_time_ms"] <= known.time_ms
        return seen or trade["trade_id"] + self._base in self._missing

    def _take(self, trade: TradeMessage) -> list[Effect]:
        """Publish a trade of the present numbering, if it is new."""
        if self._base:
            trade["epoch"] = self.epoch
        number, time_ms = trade["trade_id"] + self._base, trade["trade_time_ms"]
        if self._held is not None:
            self._held.note(number, trade)
        if self._last is None:
            self._begin_with(Mark(number, time_ms))
        if self._last is None or number == self._last + 1:
            self._last, self._last_ms, self._resuming = number, time_ms, False
            return [Publish(TRADES, trade, number)]
        if continuity(self._last, number, number) is Continuity.DUPLICATE:
            if number not in self._missing:
                # Without a time of its own it belongs to those that a subscription begins with.
                repeated = trade["event_time_ms"] is None
                return [] if repeated else [LedgerEvent("duplicate", number, number, time_ms)]
            self._settle(number, number)
            return [Publish(TRADES, trade)]
        return [Publish(TRADES, trade, number), *self._go_on(number, time_ms, number - 1)]

    def _go_on(self, newest: int, time_ms: int, last: int) -> list[Effect]:
        """Number `newest` is issued, and all from the newest known one to `last` are missing."""
        assert self._last is not None
        offline, self._resuming = self._resuming, False
        first, before_ms = self._last + 1, None if offline else self._last_ms
        self._last, self._last_ms = newest, time_ms
        cause = cause_of_trades(before_ms, time_ms, offline=offline, halts=self._halts)
        hole = MissingRange(first, last, before_ms, time_ms, offline)
        return [LedgerEvent("gap", first, last, time_ms, cause), *self._add(hole), *self._fill()]

    def _begin_with(self, trade: Mark) -> None:
        """The first trade received: those between the base and it are missing."""
        if self._awaits_base:
            self._first = trade
        elif self._after is not None and can_follow(Mark(self._after, None), trade):
            self._last = self._after

    def issued(self, trade_id: int, time_ms: int) -> list[Effect]:
        """The exchange has issued the id, as a bar or REST shows; the stream did not bring it.

        Args:
            time_ms: not before the trade's own.
        """
        number = trade_id + self._base
        if self._last is None:
            self._last = self._after
        if self._last is None or number <= self._last or self._doubtful:
            return []
        if not can_follow(Mark(self._last - self._base, self._last_ms), Mark(trade_id, time_ms)):
            return []
        first = self._last + 1
        self._expected.add(first, number)
        # Without a time: each trade's time is known once it is fetched.
        event = LedgerEvent("expected", first, number, None, _NOT_BROUGHT)
        effects = [event, *self._go_on(number, time_ms, number)]
        self._find_step()
        return effects

    def begin_after(self, trade_id: int) -> None:
        """Begin a series without trades after this id: later trades were issued since the subscription."""
        if self._last is None:
            self._last = trade_id if self._after is None else self._after
            self._first = Mark(self._last + 1, None)
            self._find_step()

    def await_base(self) -> None:
        """Wait for `listen_after` with the trade after which the series begins. Call it after `begin`."""
        self._awaits_base = True
        if self._last is not None:
            self._first = self._begun_with

    def forgo_base(self) -> None:
        """The series begins with the first trade received: a recording has no earlier ones."""
        self._awaits_base, self._after = False, None

    def listen_after(self, trade_id: int, time_ms: int) -> list[Effect]:
        """Take the newest trade issued before the subscription: all later ones belong to the series.

        Args:
            time_ms: not before the trade's own.
        """
        if self._resuming and not self._awaits_base:
            return self.issued(trade_id, time_ms)  # while we were switched off
        if not self._awaits_base:
            return []
        self._awaits_base = False
        effects: list[Effect] = []
        base, first = Mark(trade_id, None), self._first
        if first is None:
            # Trades on their way may be earlier: the first one received decides, see `_begin_with`.
            self._after = trade_id
        elif first.trade_id > trade_id + 1 and can_follow(base, first):
            after_ms = first.time_ms or 0
            hole = MissingRange(trade_id + 1, first.trade_id - 1, None, after_ms, offline=False)
            effects.append(LedgerEvent("gap", hole.first, hole.last, after_ms or time_ms, _BEFORE_THE_FIRST))
            effects += [*self._add(hole), *self._fill()]
        return effects

    def conclude(self) -> list[Effect]:
        """The stream has ended: what is missing is expected nevertheless."""
        return [
            LedgerEvent("expected", missing.first, missing.last, missing.after_ms)
            for missing in self._missing
            if self._expected.intersection_count(missing.first, missing.last) <= missing.last - missing.first
        ]

    def receive_newest(self, rows: Sequence[TradeMessage]) -> list[Effect]:
        """Take REST's newest trades, none if it does not answer, and classify the doubtful ones by them."""
        suspects, self.suspects = self.suspects and not self._doubtful, False
        if not (self._doubtful or suspects) or self._last is None:
            return []
        base = self._base
        known = Mark(self._last - base, self._last_ms)
        classified = self._doubtful.classify(known, lambda trade_id: trade_id + base in self._missing, rows)
        if classified is None and suspects:
            return []  # REST is asked again as long as bars show it
        if classified is None:
            return [AskNewestTrades(self._symbol, self._doubtful.delay_s)]
        effects = self._begin_anew(classified) if classified.begun_anew is not None else []
        for trade in classified.genuine:
            effects += self._take(trade)
        if suspects and classified.begun_anew is not None:
            newest_row = max(rows, key=lambda row: (row["trade_time_ms"], row["trade_id"]))
            effects += self.issued(newest_row["trade_id"], newest_row["trade_time_ms"])
        effects += [self._repeat(trade) for trade in classified.repeated]
        if classified.not_held is not None and classified.not_held.trade_id + self._base > self._last:
            newest = classified.not_held.trade_id + self._base
            effects += self._go_on(newest, classified.not_held.time_ms or 0, newest)
        effects += [
            Reject(self._symbol, "trades", lie_of(trade, known), trade) for trade in classified.impossible
        ]
        if classified.impossible:
            effects.append(Distrust(self._symbol, "trade", lie_of(classified.impossible[0], known)))
        self._find_step()
        return effects

    def counted_later(self, bar: LaterBar) -> list[Effect]:
        """The stream is silent, and a bar after its newest trade counts trades.

        These follow on the known ones, or trade ids have begun anew.
        """
        if self._doubtful or self._last is None or self._last_ms is None:
            return []
        first = bar.first + self._base
        if first > self._last or bar.open_ms <= self._last_ms + DISORDER_MS or first in self._missing:
            return self.issued(bar.last, bar.time_ms)
        self.suspects = True
        return [AskNewestTrades(self._symbol, 0.0)]

    def counted(self, first: int, last: int) -> None:
        """A bar counts as many trades as it names ids, `first` to `last`: all of them are trades.

        If it is not of the present numbering, REST is asked for some that do not exist.
        """
        self._counted.add(first + self._base, last + self._base)
        if self._counted.range_count() > _MOST_COUNTED:
            self._counted.remove(*next(iter(self._counted)))

    def _repeat(self, trade: TradeMessage) -> Effect:
        """Publish a trade of the previous numbering again: storing it twice is storing it once."""
        number = trade["trade_id"] + max(0, self._base - EPOCH_SPAN)
        if self.epoch > 1:
            trade["epoch"] = self.epoch - 1
        if self._base:
            return Publish(TRADES, trade)
        return LedgerEvent("duplicate", number, number, trade["trade_time_ms"])

    def _begin_anew(self, classified: Classification) -> list[Effect]:
        """From now on ids are of the next numbering."""
        assert self._last is not None
        assert classified.begun_anew is not None
        before = self._last
        self._base += EPOCH_SPAN
        number = self._base + classified.begun_anew
        self._last = number - 1
        first_ms = min((trade["trade_time_ms"] for trade in classified.genuine), default=self._last_ms)
        detail = f"trade ids begin anew after {shown(before)}: numbering {self.epoch + 1}"
        return [*self._forget_numberings(), LedgerEvent("gap", number, number, first_ms, detail)]

    def _forget_numberings(self) -> list[Effect]:
        """Give up what is missing of earlier numberings, which REST no longer has."""
        effects: list[Effect] = []
        for missing in list(self._missing.within(0, self._base - 1)):
            self._settle(missing.first, missing.last)
            effects.append(
                LedgerEvent("lost", missing.first, missing.last, missing.after_ms, _OF_OLD_NUMBERING)
            )
        return effects

    def retry(self, now_s: float) -> list[Effect]:
        """Ask again for what is due; `now_s` is of a monotonic clock. Call it once a second."""
        if not self._filling:
            self._open_since_s = None
        elif self._open_since_s is None:
            self._open_since_s = now_s
        if self._open_since_s is None or now_s - self._open_since_s < _UNANSWERED_S:
            return self._fill(now_s)
        detail = "the exchange does not answer the request for them"
        return [event for missing in self._missing for event in self._expect(missing, detail)]

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
            oldest_available: REST now has none below this id.
        """
        self._filling, self._open_since_s = False, None
        effects: list[Effect] = []
        for row in rows or ():
            number = number_of(row)
            hole = next(self._missing.within(number, number), None)
            if hole is None or self._is_too_late(hole, row):
                continue
            if _is_too_early(hole, row):
                if not hole.asked:
                    effects.append(Reject(self._symbol, "trades", misplaced(row, hole), row))
            else:
                self._settle(number, number)
                if number == self._last:
                    # Only its id was known, and a time not before its own.
                    self._last_ms = row["trade_time_ms"]
                # It is the newest and nothing is missing: no repair follows it.
                completes = number == self._last and not self._missing
                effects.append(Publish(TRADES, row, number if completes else None))
        if first < oldest_available:
            # Asking page by page for unavailable trades would take hours, and find nothing.
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
        """Take the proof by aggTrades of ids that REST does not have as trades.

        Args:
            issued: ranges of ids proved to be trades.
            never: ranges of ids proved never issued.
            now_s: as in `retry`.
        """
        self._filling, self._open_since_s = False, None
        effects: list[Effect] = []
        for low, high in never:
            ids = IdRanges([(max(asked.first, low), min(asked.last, high))] if low <= high else ())
            for first, last in ids.difference(self._counted):
                effects += self._never_issued(first, last)
        # A trade that a bar counts was issued, whatever aggTrades show.
        for low, high in (*issued, *self._counted.within(asked.first, asked.last)):
            for missing in self._missing.within(low, high):
                self._proved.add(missing.first, missing.last)
        for missing in list(self._missing.within(asked.first, asked.last)):
            if not missing.soon:
                proved = self._proved.intersection_count(missing.first, missing.last)
                detail = f"the exchange does not have them for now; {self._proof} prove {proved} of them"
                effects += self._expect(missing, detail)
        return effects + self._fill(now_s)

    @staticmethod
    def _is_too_late(hole: MissingRange, row: TradeMessage) -> bool:
        """It is later than the trade after the hole: ids have begun anew, which only REST shows yet."""
        return 0 < hole.after_ms < row["trade_time_ms"] - DISORDER_MS

    def _settle(self, first: int, last: int) -> None:
        """These ids are no longer missing."""
        for ids in (self._missing, self._expected, self._proved):
            ids.remove(first, last)

    def _never_issued(self, first: int, last: int) -> list[Effect]:
        """Excuse those entered as expected; the others were never entered."""
        effects: list[Effect] = []
        never = f"{self._proof} prove that they were never issued"
        if first <= last:
            after_ms = max((missing.after_ms for missing in self._missing.within(first, last)), default=0)
            for low, high in list(self._expected.within(first, last)):
                effects.append(LedgerEvent("halted", low, high, after_ms, never))
            self._settle(first, last)
        return effects

    def _expect(self, missing: MissingRange, detail: str) -> list[Effect]:
        """Enter them as expected: the ledger knows that they are missing even if this process is killed."""
        if self._expected.intersection_count(missing.first, missing.last) == missing.last - missing.first + 1:
            return []
        self._expected.add(missing.first, missing.last)
        return [LedgerEvent("expected", missing.first, missing.last, missing.after_ms or None, detail)]

    def _prove(self, unproved: Sequence[MissingRange]) -> list[Effect]:
        self._filling = True
        # Without a time before the hole, begin shortly before its end.
        begin_ms = unproved[0].after_ms if unproved[0].before_ms is None else unproved[0].before_ms
        first, last, end_ms = unproved[0].first, unproved[-1].last, unproved[-1].after_ms
        return [ProveTrades(self._symbol, first, last, begin_ms, end_ms)]

    def _add(self, hole: MissingRange) -> list[Effect]:
        if self._missing.range_count() < MAX_HOLES:
            self._missing.add(hole)
            return []
        # Expected, and not asked for again: the ledger stays incomplete.
        detail = f"{MAX_HOLES:,} holes are open, more are not followed; `cryptostream repair` fetches it"
        return [LedgerEvent("expected", hole.first, hole.last, hole.after_ms, detail)]

    def _give_up(self, exhausted: Iterable[MissingRange], now_s: float) -> list[Effect]:
        effects: list[Effect] = []
        for missing in exhausted:
            effects += given_up(missing, self._proved, self._halts, now_s)
            self._settle(missing.first, missing.last)
        return effects

    def _fill(self, now_s: float = -math.inf) -> list[Effect]:
        """Ask for a page: the oldest hole that is due, and later ones within the page.

        Without a time only ids that were never asked for are due.
        """
        page = None if self._filling else self._missing.due(now_s, PAGE)
        if page is None:
            return []
        self._filling = True
        beside = self._beside(*page) if self._by_time or self._held is not None else None
        return [FillTrades(self._symbol, *page, beside)]

    def _beside(self, first: int, last: int) -> Beside:
        """What is known of the trades around these."""
        missing = list(self._missing.within(first, last))
        known = ((), ()) if self._held is None else self._held.beside(first, last)
        return Beside(missing[0].before_ms, missing[-1].after_ms or None, *known)


def _is_too_early(hole: MissingRange, row: TradeMessage) -> bool:
    """It is earlier than the trade before the hole: REST has answered with something else."""
    return hole.before_ms is not None and row["trade_time_ms"] < hole.before_ms - _OUT_OF_ORDER_MS
