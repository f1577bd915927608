"""Closed bars of one symbol and interval: each once, in open-time order, without a hole (DESIGN §5).

Source of the rules: BINANCE_SPOT.md §4.5, §9.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from producers.asking import Asking
from producers.effects import PAGE, Effect, FillKlines, LedgerEvent, Publish
from producers.gaps import KIND_BY_CAUSE, Hole, Place, holes_of_bars, place
from producers.halts import Halts
from producers.missing_ids import MAX_HOLES, MissingIds, MissingRange
from shared.intervals import interval_ms, open_time_ms
from shared.messages import KlineMessage
from shared.topics import klines_live_topic, klines_topic

# Closed bars that wait for an earlier one; what comes beyond is fetched over REST later (DESIGN §5).
WAITING_BARS: Final = 10_000
# A final may come some seconds after the border; an open bar older than this proves that it was missed.
FINAL_GRACE_MS: Final = 5_000
_EXCUSED: Final = frozenset(("halted", "no trades"))
# As for times of the stream (producers.clock).
_AHEAD_MS: Final = 10_000
_REMEMBERED: Final = 64  # published bars that are kept to tell a repetition from a revision
# What a bar says, whichever way it came.
_CONTENT: Final = (
    "open",
    "high",
    "low",
    "close",
    "base_volume",
    "quote_volume",
    "trade_count",
    "taker_buy_base_volume",
    "taker_buy_quote_volume",
)


class KlineSequence:
    """One series of bars.

    A bar that is next is published; a later one waits while REST is asked for those before it. An open time
    that REST does not have, though a later bar exists, is passed over after some answers: it is expected, and
    asked for in the background for a day before it is given up as what it is missing for (`producers.gaps`).

    Args:
        halts: read only; when the exchange was closed.
    """

    def __init__(self, symbol: str, interval: str, halts: Halts) -> None:
        self._symbol = symbol
        self._interval = interval
        self._step = interval_ms(interval)
        self._halts = halts
        self._topic = klines_topic(interval)
        self._live_topic = klines_live_topic(interval)
        self._next: int | None = None  # open time of the bar to publish next; None until the series begins
        self._warm_up_from: int | None = (
            None  # first open time still to be asked for, before there is a `next`
        )
        self._waiting: dict[int, KlineMessage] = {}
        self._known_last = -1  # the newest bar known, or by the exchange's clock supposed, to be closed
        self._announced = -1  # holes up to here have been entered as `gap`, or are no news
        self._offline_last = -1  # bars up to here closed while we were switched off
        self._trade_id: int | None = None  # of the newest trade in the bars published, where they tell
        self._filling = False
        self._page_last = -1  # what REST is, or was last, asked for ends here
        self._asking = Asking()
        self._passed_over = MissingIds()  # by open time // step; still asked for
        self._live: KlineMessage | None = None  # latest update of the open bar, held back while filling
        self._published: dict[int, KlineMessage] = {}

    @property
    def filling(self) -> bool:
        """An answer of REST is awaited."""
        return self._filling

    @property
    def missing(self) -> int:
        """How many bars were passed over and are still asked for."""
        return len(self._passed_over)

    def begin(
        self,
        last_open_time_ms: int | None,
        server_time_ms: int,
        warmup_bars: int,
        missing: Iterable[MissingRange] = (),
    ) -> list[Effect]:
        """Start after the last published bar or, where there is none, `warmup_bars` back (DESIGN §5.5).

        Args:
            last_open_time_ms: open time of the last bar on the topic, None if it has none; one that has not
                closed by the exchange's clock tells nothing.
            server_time_ms: the exchange's clock, taken before.
            missing: bars before the last one that the topic does not have, as numbers (open time ÷ interval).
        """
        for hole in missing:
            self._passed_over.add(hole)
        current = open_time_ms(self._interval, server_time_ms)
        self._known_last = self._announced = current - self._step
        if last_open_time_ms is not None and last_open_time_ms + self._step > server_time_ms + _AHEAD_MS:
            # Believed once; whoever goes on from it sees no real bar any more.
            last_open_time_ms = None
        if last_open_time_ms is not None:
            self._next = last_open_time_ms + self._step
            self._offline_last, self._announced = self._known_last, last_open_time_ms
        elif warmup_bars > 0:
            self._warm_up_from = max(0, current - warmup_bars * self._step)
        else:
            self._next = current
        return self._settle()

    def open_holes(self) -> Iterable[MissingRange]:
        """Bars that were passed over and are still asked for, in order, as numbers (open time ÷ interval)."""
        return iter(self._passed_over)

    def receive(self, kline: KlineMessage) -> list[Effect]:
        """Take an event of the stream: a closed bar or an update of the open one."""
        return self._receive_closed(kline) if kline["closed"] else self._receive_open(kline)

    def retry(self, now_s: float) -> list[Effect]:
        """Ask again for bars that were passed over, where it is time; call it once a second.

        Args:
            now_s: of a clock that only goes forward.
        """
        page = None if self._filling else self._passed_over.due(now_s, PAGE)
        if page is None:
            return []
        self._filling = True
        first, last = page
        return [FillKlines(self._symbol, self._interval, first * self._step, last * self._step, 0.0)]

    def receive_rows(
        self, first: int, last: int, rows: Sequence[KlineMessage] | None, now_s: float
    ) -> list[Effect]:
        """Take the finished bars that REST has between the open times `first` and `last`, ascending.

        Args:
            rows: later ones are welcome, they show how far REST is; None if it refused to answer.
            now_s: as in `retry`.
        """
        self._filling = False
        effects: list[Effect] = []
        if self._warm_up_from is not None:
            self._asking.answered(rows, first, now_s)
            if rows is not None or self._asking.unanswered_for_long(now_s):
                self._asking = Asking()
                self._begin_with(rows or (), last)
        for row in rows or ():
            open_time = row["open_time_ms"]
            if self._next is not None and max(first, self._next) <= open_time <= last:
                # The final of the stream, if it is there, is the one nobody can have read too early.
                self._waiting.setdefault(open_time, row)
            elif open_time // self._step in self._passed_over:
                effects += self._follow_up(row)
            else:
                effects += self._revision(row)
        effects += self._drain()
        unanswered = self._passed_over.unanswered(first // self._step, last // self._step, now_s)
        effects += self._give_up(unanswered, now_s)
        if self._next is not None and self._next <= last:
            self._asking.answered(rows, self._next, now_s)
            effects += self._missing(last, now_s)
        elif self._warm_up_from is None:
            self._asking = Asking()
        return effects + self._settle()

    def _begin_with(self, rows: Sequence[KlineMessage], last: int) -> None:
        """What REST does not have before its first row was never issued: a listing, or a short recording."""
        if rows:
            # The stream may already have given an earlier bar than REST has.
            self._next = min([rows[0]["open_time_ms"], *self._waiting])
            self._warm_up_from = None
        elif last < self._known_last:
            self._warm_up_from = last + self._step
        else:
            self._warm_up_from = None
            self._next = min(self._waiting, default=None)

    def _receive_closed(self, kline: KlineMessage) -> list[Effect]:
        open_time = kline["open_time_ms"]
        if self._next is None and self._warm_up_from is None:
            self._next = open_time
        if open_time == self._next:
            return [*self._lateness(kline), self._publish(kline), *self._drain(), *self._settle()]
        known = None if self._next is None else self._next - self._step
        if known is not None and place(known, open_time, open_time, self._step) is Place.SEEN:
            if open_time // self._step in self._passed_over:
                return self._follow_up(kline)
            return self._repetition(kline)
        self._known_last = max(self._known_last, open_time)
        if len(self._waiting) < WAITING_BARS:
            self._waiting.setdefault(open_time, kline)
        return [*self._lateness(kline), *self._settle()]

    def _receive_open(self, kline: KlineMessage) -> list[Effect]:
        open_time = kline["open_time_ms"]
        if self._next is not None and open_time < self._next:
            return []
        if self._filling:
            self._live = kline
            return []
        effects: list[Effect] = [Publish(self._live_topic, kline)]
        event_time = kline["event_time_ms"]
        if self._next is not None and event_time is not None and event_time - open_time > FINAL_GRACE_MS:
            self._known_last = max(self._known_last, open_time - self._step)
            effects += self._settle()
        return effects

    def _lateness(self, kline: KlineMessage) -> list[Effect]:
        event_time, closed_at = kline["event_time_ms"], kline["close_time_ms"] + 1
        if event_time is None or event_time - closed_at <= FINAL_GRACE_MS:
            return []
        open_time = kline["open_time_ms"]
        detail = f"came {event_time - closed_at} ms after its close"
        return [LedgerEvent("late", open_time, open_time, detail=detail)]

    def _revision(self, kline: KlineMessage) -> list[Effect]:
        """What the bar says differently from the one published, if it does."""
        before: Any = self._published.get(kline["open_time_ms"], kline)
        now: Any = kline
        changes = [
            f"{name} {before[name]}, now {now[name]}" for name in _CONTENT if before[name] != now[name]
        ]
        if not changes:
            return []
        open_time = kline["open_time_ms"]
        return [LedgerEvent("revised", open_time, open_time, detail="; ".join(changes))]

    def _repetition(self, kline: KlineMessage) -> list[Effect]:
        if revision := self._revision(kline):
            return revision
        open_time = kline["open_time_ms"]
        before = self._published.get(open_time)
        if before is not None and before["source"] == "backfill":
            self._published[open_time] = kline  # late once; after that it is a repetition
            return [LedgerEvent("late", open_time, open_time, detail="came after it was filled over REST")]
        return [LedgerEvent("duplicate", open_time, open_time)]

    def _publish(self, kline: KlineMessage) -> Publish:
        open_time = kline["open_time_ms"]
        self._next = open_time + self._step
        self._trade_id = self._newest_trade(kline)
        self._published[open_time] = kline
        if len(self._published) > _REMEMBERED:
            del self._published[next(iter(self._published))]
        return Publish(self._topic, kline, open_time)

    def _newest_trade(self, kline: KlineMessage) -> int | None:
        """The newest trade up to the end of a bar that is next.

        Over REST nobody tells, but trades are counted and their ids leave no hole (BINANCE_SPOT.md §5 law 1).
        """
        count, last = kline["trade_count"], kline["last_trade_id"]
        if not count:
            return self._trade_id
        if last is None and self._trade_id is not None:
            return self._trade_id + count
        return last

    def _drain(self) -> list[Effect]:
        effects: list[Effect] = []
        while self._next in self._waiting:
            effects.append(self._publish(self._waiting.pop(self._next)))
        return effects

    def _missing(self, last: int, now_s: float) -> list[Effect]:
        """REST has been asked up to `last`, and has not given the bar that is next."""
        assert self._next is not None
        effects: list[Effect] = []
        if not self._asking.soon_over(now_s):
            return effects
        # All of the page was asked for as often.
        while self._waiting and self._next <= last:
            hole_last = min(last, min(self._waiting) - self._step)
            holes = list(self._holes(self._next, hole_last))
            if not self._asking.order_over(now_s) and not all(hole.cause in _EXCUSED for hole in holes):
                return effects
            for hole in holes:
                effects += self._pass_over(hole, now_s)
            self._next = hole_last + self._step
            effects += self._drain()
        if not self._waiting:
            # Nothing later is known: perhaps the exchange stands still. The next bar will tell.
            self._known_last = self._next - self._step
        self._asking = Asking()
        return effects

    def _pass_over(self, hole: Hole, now_s: float) -> list[Effect]:
        if hole.cause in _EXCUSED:
            return [LedgerEvent(KIND_BY_CAUSE[hole.cause], hole.first, hole.last, detail=_detail(hole))]
        self._trade_id = None  # who knows how many there were
        detail = "the exchange does not have it for now; later bars go on"
        if self._passed_over.range_count() < MAX_HOLES:
            missing = MissingRange(
                hole.first // self._step, hole.last // self._step, None, hole.last, hole.cause == "offline"
            )
            self._passed_over.add(self._asking.continued(missing, now_s))
        else:
            detail = f"{MAX_HOLES:,} holes are open, more are not followed; `cryptostream repair` fetches it"
        return [LedgerEvent("expected", hole.first, hole.last, detail=detail)]

    def _follow_up(self, kline: KlineMessage) -> list[Effect]:
        """A bar that was passed over, after all: the one case of a bar behind later ones."""
        open_time = kline["open_time_ms"]
        self._passed_over.remove(open_time // self._step, open_time // self._step)
        detail = "came only after later bars had gone on"
        return [Publish(self._topic, kline), LedgerEvent("late", open_time, open_time, detail=detail)]

    def _give_up(self, exhausted: Iterable[MissingRange], now_s: float) -> list[Effect]:
        effects: list[Effect] = []
        for missing in exhausted:
            self._passed_over.remove(missing.first, missing.last)
            kind = KIND_BY_CAUSE["offline" if missing.offline else "missed"]
            first, last = missing.first * self._step, missing.last * self._step
            effects.append(LedgerEvent(kind, first, last, detail=missing.asking(now_s)))
        return effects

    def _holes(self, first: int, last: int) -> Iterator[Hole]:
        """The missing bars `first` to `last`, neither of whose neighbours is missing, by cause."""
        before = self._trade_id if first == self._next else None
        later = sorted(open_time for open_time in self._waiting if open_time > last)
        traded = (bar for bar in map(self._waiting.__getitem__, later) if bar["trade_count"])
        after = next((bar["first_trade_id"] for bar in traded), None)
        no_trades = before is not None and after == before + 1
        return holes_of_bars(
            first, last, self._step, no_trades=no_trades, halts=self._halts, offline_last=self._offline_last
        )

    def _settle(self) -> list[Effect]:
        """Ask for what is missing now; with nothing missing, let the latest open update go."""
        if self._filling:
            return []
        first = self._warm_up_from if self._next is None else self._next
        if first is not None and first <= self._missing_last(first):
            return self._fill(first)
        live, self._live = self._live, None
        if live is None or (self._next is not None and live["open_time_ms"] < self._next):
            return []
        return [Publish(self._live_topic, live)]

    def _missing_last(self, first: int) -> int:
        """Newest missing bar of the page from `first` on, where one is missing."""
        last = min(self._known_last, first + (PAGE - 1) * self._step)
        if self._next is not None:
            while last in self._waiting:
                last -= self._step
        return last

    def _fill(self, first: int) -> list[Effect]:
        self._filling = True
        if not self._asking.asked:
            # What is found missing later waits its turn: a page is given up as a whole.
            self._page_last = self._missing_last(first)
        effects = self._announce(first)
        return [
            *effects,
            FillKlines(self._symbol, self._interval, first, self._page_last, self._asking.delay_s),
        ]

    def _announce(self, first: int) -> list[Effect]:
        """Enter what is newly found missing."""
        effects: list[Effect] = []
        begin = max(first, self._announced + self._step)
        while begin <= self._known_last:
            later = [open_time for open_time in self._waiting if open_time >= begin]
            end = min(later, default=self._known_last + self._step) - self._step
            if begin <= end:
                effects += [
                    LedgerEvent("gap", hole.first, hole.last, detail=hole.cause)
                    for hole in self._holes(begin, end)
                ]
            begin = end + self._step
            while begin in self._waiting:
                begin += self._step
        self._announced = max(self._announced, self._known_last)
        return effects


def _detail(hole: Hole) -> str | None:
    return None if hole.cause == "missed" else hole.cause
