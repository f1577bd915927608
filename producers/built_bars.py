"""Bars of a symbol whose exchange has none that say when they are final: built from its trades. Pure.

`BarBuilder` sums up; here is what is read of earlier trades at the start, and what is published and entered.
Each method gives pairs of an interval and an effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Final

from producers.bar_builder import BarBuilder, BarEffect, FinalBar, Hole, RevisedBar
from producers.earlier_bars import EarlierBars
from producers.effects import Effect, LedgerEvent, Publish, ReadTrades
from producers.read_back import BUILT_MS
from producers.resumption import bars_start
from producers.start_positions import StartPosition, klines_series
from shared.intervals import INTERVAL_MS
from shared.messages import KlineMessage, TradeMessage
from shared.topics import klines_live_topic, klines_topic
from shared.trade_ids import number_of, split

# Trades read again at a restart, for bars that were open: 50 pages.
MOST_READ: Final = 50_000
# Trades read at the first start, so that short bars have some history: a few pages.
MOST_WARMING: Final = 5_000
_WARMING_MS: Final = (21_600_000, 3_600_000, 600_000, 60_000)
# An hour: it halves the question, and most pairs have less than `MOST_WARMING` in one, or in ten minutes.
_LIKELY_WARMING: Final = 1
# Trades of the stream that wait for the first page of earlier ones: some minutes of a busy market.
_MOST_EARLY: Final = 50_000
# How far our idea of the exchange's clock may be ahead: all trades from a time on are only known of the past.
_CLOCK_MS: Final = 5_000
# How late a trade may be whose bar, closed by the clock of an earlier process, is built again: as far back as
# bars are read back (`read_back`).
_LATE_MS: Final = BUILT_MS
# Between two attempts to read trades that nobody brings.
_PAUSE_MS: Final = 5_000
# Calls of `tick`, a quarter of an hour, in which reading brings nothing new; then bars go on without. At
# Kraken's pace these are 450 requests: the first pages of some 80 symbols.
MOST_WAITS: Final = 900
_LOST: Final = "trades that it may have had are lost"
_WITHOUT: Final = "it was published without trades that it, or the bar before it, has or may have had"
_BEFORE_RESTART: Final = "it was published before a restart, and without all of its trades"
_TOO_MANY: Final = "its trades are too many to be read again after a restart"
_NOT_READ: Final = "its trades could not be read: the exchange did not serve them, or not with proof"

BarEvent = tuple[str, Effect]
Awaits = Callable[[int, int], bool]


class BuiltBars:
    """All intervals of one symbol.

    Args:
        exchange, symbol: of the messages.
        intervals: those to publish.
    """

    def __init__(self, exchange: str, symbol: str, intervals: Sequence[str]) -> None:
        self._exchange, self._symbol, self.intervals = exchange, symbol, tuple(intervals)
        self._builder = BarBuilder(exchange, symbol, intervals)
        self._earlier = EarlierBars()
        self._latest_earlier_ms = -1  # when the last one of them ended
        self._building_again = True  # bars that are published already, as long as the first reading goes on
        self._published: dict[str, int] = {}  # open time of the newest bar, by interval
        self._early: list[TradeMessage] | None = []  # until the first page of earlier trades has come
        self._reading = False
        self._forsaken = False  # bars went on without the reading under way: its pages come too late
        self._owed = False  # a series has begun without the trades from its promise on
        self._asked_from_ms = 0
        self._too_many = False  # to be read from there
        self._waits = 0  # calls of `tick` since reading has brought something new
        self._highest_read = -1
        self._untraded_from_ms: int | None = None  # reading has shown that there was no trade ever
        self._base: int | None = None  # number of the newest trade before the stream, 0 if it has the first
        self._asked_twice = False  # the first reading had no trade, though one was before the stream
        self._read: tuple[int, int] | None = None  # first and last number of the pages that join
        self._read_from_ms = 0  # the begin of these pages
        self._unread_ms: int | None = None  # not read yet from then on; None after the last page
        self._again_ms = 0  # not read again before
        self._live: dict[str, tuple[str, int]] = {}  # close and count of the newest open bars published
        self._promised_ms: dict[str, int] = dict.fromkeys(self.intervals, 0)
        self._latest_promise_ms = 0

    @property
    def filling(self) -> bool:
        """Earlier trades are read, or bars wait for missing ones."""
        return self._reading or self._unread_ms is not None or bool(self._builder.holes)

    def promised_ms(self, interval: str) -> int:
        """As `KlineSequence.promised_ms`."""
        return self._promised_ms[interval]

    def begin(
        self, start_positions: Mapping[str, StartPosition], server_time_ms: int, *, warm: bool
    ) -> list[Effect]:
        """Ask for the trades of bars that are open, or not published yet.

        Args:
            start_positions: by series; a bar that is missing below one is built again, and those after it.
            warm: a series that begins gets some earlier bars.
        """
        begins_ms: list[int] = []
        for interval in self.intervals:
            known = start_positions.get(klines_series(self._exchange, self._symbol, interval))
            step = INTERVAL_MS[interval]
            if known is None or known.last_id > server_time_ms:
                self._promised_ms[interval] = server_time_ms - server_time_ms % step
                continue
            # A producer that was killed may have published bars that its progress does not tell of.
            last, holes = bars_start(known, step, server_time_ms, 0.0)
            self._published[interval] = last = min((last, *((hole.first - 1) * step for hole in holes)))
            begins_ms.append(last + step)
        self._latest_promise_ms = max(self._promised_ms.values(), default=0)
        most = MOST_READ if begins_ms else MOST_WARMING
        likely = 0
        if warm and not begins_ms:
            likely = _LIKELY_WARMING
            begins_ms += [server_time_ms - span_ms for span_ms in _WARMING_MS]
        begins_ms.append(server_time_ms - _CLOCK_MS)
        self._reading, self._asked_from_ms = True, min(begins_ms)
        if self._published:
            # Of the shortest interval.
            begins_ms.append(max(self._published.values()) - _LATE_MS)
        return [ReadTrades(self._symbol, tuple(sorted(set(begins_ms))), most, likely)]

    def compare_with(self, bars: Sequence[KlineMessage]) -> None:
        """Take bars of the topics, which may lack trades that came later; call it after `begin`."""
        self._earlier.begin(bars, self._published)
        ends_ms = (last_ms + INTERVAL_MS[interval] for interval, last_ms in self._published.items())
        self._latest_earlier_ms = max(ends_ms, default=-1)

    def receive_history(
        self, begin_ms: int, rows: Sequence[TradeMessage] | None, issued: tuple[int, int] = (0, 0)
    ) -> list[BarEvent]:
        """Take a page of trades, ascending; an empty one after the last, None if there are none to be had.

        Args:
            begin_ms: all trades from then on are among the pages.
            issued: number of a trade that the topic may have already, and the time; REST trails the streams,
                and the pages may end before it.
        """
        if self._forsaken:
            self._forsaken = bool(rows)
            return []
        if not rows:
            self._reading = False
            if rows is not None and self._early is not None:
                self._untraded_from_ms = begin_ms
                return self._begin_with_the_first()
            if rows is not None:
                self._unread_ms = None
            elif self._early is not None:
                self._owed = True
            events = [*self._begin_now(), *self._settle_absent(), *self._settle_earlier()]
            self._builder.issued(*issued)
            return events
        events = []
        numbers = [number_of(row) for row in rows]
        self._too_many = self._too_many or begin_ms > self._asked_from_ms
        if numbers[-1] > self._highest_read:
            self._highest_read, self._waits = numbers[-1], 0
        if self._early is not None:
            # Times may be out of the order of ids: all after the first trade of the bars is received.
            before = tuple(takewhile(lambda row: row["trade_time_ms"] < begin_ms, rows))
            last = before[-1] if before else None
            self._builder.begin(
                numbers[0] - 1 if last is None else number_of(last),
                begin_ms - 1 if last is None else last["trade_time_ms"],
                self._whole_from(begin_ms) if self._asked_twice and split(numbers[0])[1] == 1 else begin_ms,
                None if last is None else last["price"],
            )
            for row in before[:-1]:
                self._builder.precede(number_of(row), row["trade_time_ms"], row["price"])
        self._join(begin_ms, numbers)
        self._unread_ms = rows[-1]["trade_time_ms"]
        for row in rows:
            events += self._published_of(self._builder.receive(row))
        return events + self._begin_now()

    def listen_after(self, base: int) -> list[BarEvent]:
        """Take the number of the newest trade that the stream does not bring."""
        self._base = base
        return self._begin_with_the_first()

    def _begin_with_the_first(self) -> list[BarEvent]:
        """Of a pair that was never traded all trades are known: the bar of the first one is whole."""
        begin_ms, base = self._untraded_from_ms, self._base
        if self._early is None or begin_ms is None or base is None:
            return []
        if split(base)[1] > 0:
            # It was traded after the reading, and before the stream.
            self._untraded_from_ms = None
            return self._begin_without() if self._asked_twice else self._ask_twice(begin_ms)
        self._builder.begin(base, begin_ms - 1, self._whole_from(begin_ms))
        return self._begin_now()

    def _whole_from(self, untraded_from_ms: int) -> int:
        """Long bars that were open at the start are whole as well."""
        return untraded_from_ms - untraded_from_ms % max(
            (INTERVAL_MS[each] for each in self.intervals), default=1
        )

    def _ask_twice(self, begin_ms: int) -> list[BarEvent]:
        self._asked_twice = self._reading = True
        self._asked_from_ms = begin_ms
        return [("", ReadTrades(self._symbol, (begin_ms,), MOST_READ))]

    def _join(self, begin_ms: int, numbers: Sequence[int]) -> None:
        """Note what has been read without a break.

        A reading that an outage interrupts begins again, and later if there are too many trades by then. What
        lies between its pages and those before is not proved: it is read as any missing trades are.
        """
        first = numbers[0]
        if self._read is not None and begin_ms == self._read_from_ms and self._read[1] < first:
            first = self._read[0]
        self._read, self._read_from_ms = (first, numbers[-1]), begin_ms

    def receive(self, trade: TradeMessage) -> list[BarEvent]:
        """Take a trade that is published."""
        if trade["trade_time_ms"] < self._latest_promise_ms:
            self._promise_from(trade["trade_time_ms"])
        if self._early is None:
            return self._take(trade)
        self._early.append(trade)
        return self._begin_without() if len(self._early) > _MOST_EARLY else []

    def _take(self, trade: TradeMessage) -> list[BarEvent]:
        events = self._published_of(self._builder.receive(trade))
        return events + self._stay_without(trade["trade_time_ms"], trade["trade_id"])

    def _promise_from(self, time_ms: int) -> None:
        for interval, promised_ms in self._promised_ms.items():
            self._promised_ms[interval] = min(promised_ms, time_ms - time_ms % INTERVAL_MS[interval])
        self._latest_promise_ms = max(self._promised_ms.values())

    def settle(self, event: LedgerEvent) -> list[BarEvent]:
        """Take an entry about trades: bars wait no longer for those that are given up."""
        match event.kind:
            case "lost" | "offline":
                return self._published_of(self._builder.lost(event.first, event.last))
            case "halted":
                return self._never_issued(event.first, event.last)
        return []

    def _never_issued(self, first: int, last: int) -> list[BarEvent]:
        return self._published_of(self._builder.never_issued(first, last))

    def tick(self, carried_ms: int | None, now_ms: int, awaits: Awaits) -> list[BarEvent]:
        """Close bars by the clock, publish open ones; call it about once a second.

        Args:
            carried_ms: by the exchange's clock, up to when the stream has brought all trades or shown a hole;
                None if that is not known.
            awaits: whether some of a range of the exchange's ids may still be published.
        """
        baseless = bool(self._early) and self._untraded_from_ms is not None
        waits = self._reading or baseless or self._unread_ms is not None or bool(self._unawaited(awaits))
        self._waits = self._waits + 1 if waits else 0
        events: list[BarEvent] = []
        if self._waits > MOST_WAITS:
            events += self._go_on_without(awaits)
        if self._early is not None or self._reading:
            return events  # trades that the next page may have are missing, and nothing shows it
        if carried_ms is not None and self._unread_ms is None:
            events += self._published_of(self._builder.tick(carried_ms, now_ms))
        if now_ms >= self._again_ms and not self._forsaken:
            events += self._read_again(awaits, now_ms)
        if not self._builder.holes:
            events += self._open_bars(now_ms)
        return events

    def conclude(self) -> list[BarEvent]:
        """The stream has ended: bars that wait for trades are expected nevertheless."""
        events: list[BarEvent] = []
        for interval in self.intervals:
            waiting = self._waiting(interval)
            if waiting is not None and waiting[1] >= self._promised_ms[interval]:
                first = max(waiting[0], self._promised_ms[interval])
                events.append((interval, LedgerEvent("expected", first, waiting[1])))
        return events

    def _waiting(self, interval: str) -> tuple[int, int] | None:
        """As `BarBuilder.waiting`, which has no trade yet while earlier ones are awaited."""
        if not self._early:
            return self._builder.waiting(interval)
        step = INTERVAL_MS[interval]
        newest_ms = max(trade["trade_time_ms"] for trade in self._early)
        first = self._published.get(interval, self._promised_ms[interval] - step) + step
        last = newest_ms - newest_ms % step - step
        return (first, last) if first <= last else None

    def _begin_without(self) -> list[BarEvent]:
        """Begin with the trades of the stream: those before them are awaited no longer."""
        self._owed, self._forsaken, self._reading = True, self._reading, False
        self._waits = 0
        return [*self._begin_now(), *self._settle_earlier()]

    def _go_on_without(self, awaits: Awaits) -> list[BarEvent]:
        """REST has brought nothing new for too long: without proof a hole is lost."""
        if self._early is not None:
            return self._begin_without()
        self._forsaken, self._reading = self._forsaken or self._reading, False
        events = [*self._settle_absent(), *self._settle_earlier()]
        for hole in self._unawaited(awaits):
            if hole.first > self._highest_read:
                self._unread_ms = None  # a trade above shows how many were not read
            events += self._published_of(self._builder.lost(hole.first, hole.last))
        return events

    def _unawaited(self, awaits: Awaits) -> list[Hole]:
        """Missing trades that nobody will publish."""
        return [hole for hole in self._builder.holes if not awaits(split(hole.first)[1], split(hole.last)[1])]

    def _begin_now(self) -> list[BarEvent]:
        """Take the trades that have waited."""
        early, self._early = self._early, None
        events: list[BarEvent] = []
        for trade in sorted(early or (), key=number_of):
            events += self._take(trade)
        return events

    def _read_again(self, awaits: Awaits, now_ms: int) -> list[BarEvent]:
        """Read trades that nobody else will bring: those between what was read and what is published."""
        begins_ms = [] if self._unread_ms is None else [self._unread_ms]
        begins_ms += [hole.before_ms for hole in self._unawaited(awaits)]
        if not begins_ms:
            return []
        self._reading, self._read, self._again_ms = True, None, now_ms + _PAUSE_MS
        self._asked_from_ms = min(begins_ms)
        return [("", ReadTrades(self._symbol, (min(begins_ms),), MOST_READ))]

    def _settle_absent(self) -> list[BarEvent]:
        """What joined pages leave out does not exist."""
        read, self._read = self._read, None
        if read is None:
            return []
        absent = [hole for hole in self._builder.holes if read[0] <= hole.first and hole.last <= read[1]]
        return [event for hole in absent for event in self._never_issued(hole.first, hole.last)]

    def _published_of(self, effects: Sequence[BarEffect]) -> list[BarEvent]:
        events: list[BarEvent] = []
        for effect in effects:
            match effect:
                case FinalBar(bar):
                    interval, open_ms = bar["interval"], bar["open_time_ms"]
                    before = self._published.get(interval)
                    if before is not None and open_ms <= before:
                        events += self._again(bar)  # read again for longer ones
                        continue
                    events += self._skipped(interval, open_ms)
                    self._published[interval] = open_ms
                    events.append((interval, Publish(klines_topic(interval), bar, open_ms)))
                case RevisedBar(bar, trade_id) if self._earlier.has(bar):
                    events += self._again(bar, unknown=True)
                case RevisedBar(bar, trade_id):
                    events += self._revised(bar, f"trade {trade_id} came after its end")
                case _:
                    events += self._unproved(*effect)
        return events

    def _revised(self, bar: KlineMessage, detail: str) -> list[BarEvent]:
        interval, open_ms = bar["interval"], bar["open_time_ms"]
        event = LedgerEvent("revised", open_ms, open_ms, detail=detail)
        return [(interval, Publish(klines_topic(interval), bar)), (interval, event)]

    def _again(self, bar: KlineMessage, *, unknown: bool = False) -> list[BarEvent]:
        """A bar of an earlier process is built again, and published if the one on the topic lacks a trade.

        While earlier trades are read, which may be out of the order of time, it need not be whole yet.
        """
        if self._building_again:
            self._earlier.note(bar)
            return []
        if not self._earlier.lacks(bar, unknown=unknown):
            return []
        events = self._revised(bar, _BEFORE_RESTART)
        return events + self._stay_without(bar["open_time_ms"], bar["last_trade_id"] or 0)

    def _settle_earlier(self) -> list[BarEvent]:
        """The reading is over: what was built again is whole, as far as no trade is missing."""
        if not self._building_again:
            return []
        self._building_again = False
        events: list[BarEvent] = []
        for bar in self._earlier.settle():
            events += self._revised(bar, _BEFORE_RESTART)
            events += self._stay_without(bar["open_time_ms"], bar["last_trade_id"] or 0)
        return events

    def _stay_without(self, time_ms: int, trade_id: int) -> list[BarEvent]:
        """Bars of earlier processes that lack a trade of this time, and are not built again."""
        if time_ms > self._latest_earlier_ms:
            return []
        begins_ms = {interval: self._builder.begin_ms(interval) for interval in self.intervals}
        found = self._earlier.without(time_ms, trade_id, begins_ms)
        return [
            (each.interval, LedgerEvent("incomplete", each.first, each.last, detail=_BEFORE_RESTART))
            for each in found
        ]

    def _unproved(self, interval: str, first: int, last: int) -> list[BarEvent]:
        """What is published stays as it is, and counts as incomplete; the others are not published."""
        events: list[BarEvent] = []
        published, step = self._published.get(interval, -1), INTERVAL_MS[interval]
        if first <= published:
            event = LedgerEvent("incomplete", first, min(last, published), detail=_WITHOUT)
            events.append((interval, event))
            first = published + step
        if first <= last:
            events += self._skipped(interval, first)
            self._published[interval] = last
            events.append((interval, LedgerEvent("lost", first, last, detail=_LOST)))
        return events

    def _skipped(self, interval: str, open_ms: int) -> list[BarEvent]:
        """Bars between the newest one published and this one were not built."""
        before, step = self._published.get(interval), INTERVAL_MS[interval]
        if before is None and self._owed:
            before = self._promised_ms[interval] - step
        if before is None or open_ms <= before + step:
            return []
        detail = _TOO_MANY if self._too_many else _NOT_READ
        return [(interval, LedgerEvent("lost", before + step, open_ms - step, detail=detail))]

    def _open_bars(self, now_ms: int) -> list[BarEvent]:
        """The open bars that have changed; those of a second are over before they are read."""
        events: list[BarEvent] = []
        for interval in self.intervals:
            bar = self._builder.running(interval, now_ms) if interval != "1s" else None
            if bar is None:
                continue
            shown = bar["close"], bar["open_time_ms"] + bar["trade_count"]
            if shown != self._live.get(interval):
                self._live[interval] = shown
                events.append((interval, Publish(klines_live_topic(interval), bar)))
        return events
