"""Closed bars of one symbol and interval: each once, in open-time order, without a hole (DESIGN §5).

Source of the rules: BINANCE_SPOT.md §4.5, §9.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from producers.effects import Effect, FillKlines, LedgerEvent, Publish
from producers.exchanges.rest_port import PAGE
from producers.gaps import KIND_BY_CAUSE, Continuity, Hole, continuity, holes_of_bars
from producers.halts import Halts
from producers.missing_ids import AFTER_PROOF_S, MAX_HOLES, MissingIds, MissingRange, PageRetries
from producers.named_trades import NamedTrades
from producers.published_bars import FINAL_GRACE_MS, PublishedBars, lateness
from shared.id_ranges import IdRanges
from shared.intervals import interval_ms, open_time_ms
from shared.messages import KlineMessage
from shared.topics import klines_live_topic, klines_topic

# Closed bars that wait for an earlier one; those beyond are fetched over REST later (DESIGN §5).
WAITING_BARS: Final = 10_000
_EXCUSED: Final = frozenset(("halted", "no trades"))
# As for times of the stream (producers.clock).
_AHEAD_MS: Final = 10_000
# A bar that closed so long ago by the exchange's clock is asked for without any event of the stream: longer
# than a final is late, and so short that a silent stream is noticed within 15 s. At the end there is no time
# to wait for a late one.
CLOCK_GRACE_MS: Final = 8_000
LAST_GRACE_MS: Final = 2_000
# Between two requests caused by the clock alone; while REST has nothing new they become rarer.
_CLOCK_PAUSE_MS: Final = 5_000
_LONGEST_PAUSE_MS: Final = 300_000
# After so long without an answer the bars asked for are expected nevertheless.
_UNANSWERED_MS: Final = 10_000


class KlineSequence:
    """One series of bars.

    The next bar is published; later ones wait while REST is asked for those before them. A bar that REST does
    not have, though a later one exists, is passed over after some answers: it is expected, and asked for in
    the background for a day before it is given up by its cause (`producers.gaps`). It counts as never issued,
    for a halt or without trades, only once that is proven (PROVEN_BY). Without events of the stream the
    exchange's clock shows what has closed (`tick`).

    Args:
        halts: read only; when the exchange was closed.
        named: shared by the series of the symbol; None if it is alone.
    """

    def __init__(self, symbol: str, interval: str, halts: Halts, named: NamedTrades | None = None) -> None:
        self._symbol = symbol
        self._interval = interval
        self._step = interval_ms(interval)
        self._halts = halts
        self._named = NamedTrades() if named is None else named
        self._topic = klines_topic(interval)
        self._live_topic = klines_live_topic(interval)
        self._next: int | None = None  # open time of the bar to publish next; None until the series begins
        self._warm_up_from: int | None = (
            None  # first open time still to be asked for, before there is a `next`
        )
        self._waiting: dict[int, KlineMessage] = {}
        self._beside: dict[int, KlineMessage] = {}  # bars beside the grid that wait for those before them
        self._beside_last = -1  # the newest of them that was published
        self._known_last = -1  # the newest bar known to be closed, or closed by the exchange's clock
        self._announced = -1  # holes up to here have been entered as `gap`, or were already reported
        self._offline_last = -1  # bars up to here closed while we were switched off
        self._trade_id: int | None = None  # of the newest trade in the bars published, if known
        self._filling = False
        self._page_last = -1  # last bar of the present or the last request
        self._retries = PageRetries()
        self._passed_over = MissingIds()  # by open time // step; still asked for
        self._excused = MissingIds()  # entered as never issued; asked for a while longer
        self._rest_last = -1  # the newest bar that REST has shown
        self._live: KlineMessage | None = None  # latest update of the open bar, held back while filling
        self._published = PublishedBars()
        self._absent_last: int | None = None  # no bars up to here when the series was begun
        self._seen: int | None = None  # the first bar of the stream, while there is no `next`
        self._now_ms = 0  # the exchange's clock at the last `tick`
        self._open_since_ms: int | None = None  # since when a request is unanswered
        self._clock_again_ms = 0  # no request caused by the clock before
        self._vain = 0  # number of those in a row without a new bar
        self._stream_last = -1  # the newest bar that the stream has shown to be closed
        self._expected_last = -1  # bars up to here are entered as expected
        self._promised_ms = 0

    @property
    def filling(self) -> bool:
        """An answer of REST is awaited."""
        return self._filling

    @property
    def promised_ms(self) -> int:
        """Bars from this time on are promised; earlier ones, which warm up a new series, once they are there.

        A producer that is killed before their delivery warms up later ones at its next start. It is the bar
        of the first subscription, by a clock that may be ahead, or the first one that the stream shows.
        """
        return self._promised_ms

    @property
    def missing(self) -> int:
        """Number of bars passed over and still asked for."""
        return self._passed_over.id_count()

    @property
    def questioned(self) -> bool:
        """Some bars may never have been issued, which REST's next answers decide."""
        from_stream = self._holes_up_to(max([self._stream_last, *self._waiting]))
        return any(missing.doubtful for missing in self._passed_over) or any(
            hole.cause in _EXCUSED for first, last in from_stream for hole in self._holes(first, last)
        )

    def begin(
        self,
        last_open_time_ms: int | None,
        server_time_ms: int,
        warmup_bars: int,
        missing: Iterable[MissingRange] = (),
    ) -> list[Effect]:
        """Start after the last published bar or, where there is none, `warmup_bars` back (DESIGN §5.5).

        Args:
            last_open_time_ms: open time of the last bar on the topic, None if it has none; ignored if it has
                not closed by the exchange's clock.
            server_time_ms: the exchange's clock, taken before.
            missing: bars before the last one that the topic lacks, as numbers (open time ÷ interval).
        """
        for hole in missing:
            self._passed_over.add(hole)
        current = open_time_ms(self._interval, server_time_ms)
        self._known_last = self._announced = self._absent_last = current - self._step
        self._now_ms = server_time_ms
        if last_open_time_ms is not None and last_open_time_ms + self._step > server_time_ms + _AHEAD_MS:
            # A wrong bar that was published once: after it no real bar would be next.
            last_open_time_ms = None
        if last_open_time_ms is not None:
            # An archive may end beside the grid.
            last_open_time_ms = open_time_ms(self._interval, last_open_time_ms)
            self._next = last_open_time_ms + self._step
            self._offline_last, self._announced = self._known_last, last_open_time_ms
        elif warmup_bars > 0:
            self._warm_up_from = max(0, current - warmup_bars * self._step)
            self._promised_ms = current
        else:
            self._next = current
        return self._settle()

    def open_holes(self) -> Iterable[MissingRange]:
        """Bars that were passed over and are still asked for, in order, as numbers (open time ÷ interval)."""
        return iter(self._passed_over)

    def receive(self, kline: KlineMessage) -> list[Effect]:
        """Take an event of the stream: a closed bar or an update of the open one."""
        self._named.receive(kline)
        self._promised_ms = min(self._promised_ms, kline["open_time_ms"])
        if self._next is None:
            self._begin_at(kline["open_time_ms"], recorded=kline["source"] == "replay")
        return self._receive_closed(kline) if kline["closed"] else self._receive_open(kline)

    def try_next(self, open_time: int, event_ms: int) -> bool:
        """Take an update of the open bar, if it can be published at once and nothing else is due.

        Args:
            event_ms: when the exchange sent it.
        """
        awaited = self._filling or self._live is not None or self._known_last >= open_time
        if open_time != self._next or awaited or self._named.wanted:
            return False
        self._promised_ms = min(self._promised_ms, open_time)
        if event_ms - open_time > FINAL_GRACE_MS:
            # The bar before it is closed, which is known already: it was published.
            before = open_time - self._step
            self._known_last = max(self._known_last, before)
            self._stream_last = max(self._stream_last, before)
        return True

    def try_closed(self, kline: KlineMessage) -> list[Effect] | None:
        """The effects of a closed bar that is next and that no other waits for; None: it was not taken."""
        due = self._filling or self._waiting or self._beside or self._named.wanted
        if kline["open_time_ms"] != self._next or due:
            return None
        self._promised_ms = min(self._promised_ms, kline["open_time_ms"])
        return self._receive_closed(kline)

    def tick(self, exchange_ms: int) -> list[Effect]:
        """Ask for bars that have closed by the exchange's clock, with or without events of the stream.

        If REST does not answer for long they are expected, too. Bars that REST answers not to have are not
        expected yet: a later bar or trade shows whether there was one.
        """
        if self._absent_last is None or self._halts.halted:
            return []
        self._now_ms = exchange_ms
        closed = open_time_ms(self._interval, exchange_ms - CLOCK_GRACE_MS) - self._step
        if self._filling:
            since_ms = self._open_since_ms
            unanswered = since_ms is not None and exchange_ms - since_ms >= _UNANSWERED_MS
            return self._expect(closed) if unanswered else []
        first = self._next if self._next is not None else self._absent_last + self._step
        # A clock that was set back must not delay the next request for ever.
        early = exchange_ms < self._clock_again_ms <= exchange_ms + _LONGEST_PAUSE_MS
        if closed < first or closed in self._waiting or early:
            return []
        if self._next is None and self._warm_up_from is None:
            self._warm_up_from = first
        self._known_last = max(self._known_last, closed)
        self._clock_again_ms = exchange_ms + _CLOCK_PAUSE_MS
        return self._settle()

    def last_tick(self, exchange_ms: int) -> list[Effect]:
        """The stream has ended: ask for closed bars that did not come."""
        self._clock_again_ms = 0
        return self.tick(exchange_ms + CLOCK_GRACE_MS - LAST_GRACE_MS)

    def conclude(self) -> list[Effect]:
        """The stream has ended: bars that were issued and are not published are expected nevertheless.

        These are bars that the stream has shown, and those of an unanswered request; not those that only the
        clock suggests and REST does not have.
        """
        effects: list[Effect] = [
            LedgerEvent("expected", open_time, open_time)
            for open_time in sorted(self._waiting)
            if open_time >= self._promised_ms
        ]
        stream_last = max([self._stream_last, *self._waiting])
        self._expected_last = max(self._expected_last, stream_last)
        for first, end in self._holes_up_to(stream_last):
            if end >= self._promised_ms:
                effects += self._unexcused(max(first, self._promised_ms), end)
        if self._filling and self._open_since_ms is not None:
            effects += self._expect(self._known_last)
        return effects

    def _expect(self, last: int) -> list[Effect]:
        """Expect closed bars that REST did not answer for."""
        begin = self._next if self._next is not None else (self._absent_last or 0) + self._step
        begin = max(begin, self._expected_last + self._step, self._promised_ms)
        if begin > last:
            return []
        self._expected_last = last
        return self._unexcused(begin, last)

    def _unexcused(self, first: int, last: int) -> list[Effect]:
        """Expect bars from one to another, but for those that surely fall into a halt."""
        bars = IdRanges([(first // self._step, last // self._step)])
        closed = self._halts.closed_bars(first, last, self._step)
        return [
            LedgerEvent("expected", low * self._step, high * self._step)
            for low, high in bars.difference(closed)
        ]

    def retry(self, now_s: float) -> list[Effect]:
        """Ask again for passed-over bars that are due; call it once a second, with a monotonic clock."""
        page = None if self._filling else self._passed_over.due(now_s, PAGE) or self._excused.due(now_s, PAGE)
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
            rows: may go beyond `last`, which shows how far REST is; None if it refused to answer.
            now_s: as in `retry`.
        """
        self._filling = False
        if rows is not None:
            self._open_since_ms = None
            rows = self._on_grid(rows, last)
        effects: list[Effect] = []
        if self._warm_up_from is not None:
            self._retries.answered(rows, first, now_s)
            # A listing: REST's database may trail even the first bars.
            listing = not rows and self._seen is not None and self._known_last <= last != self._absent_last
            soon = listing and not self._retries.soon_over(now_s)
            if not soon and (rows is not None or self._retries.unanswered_for_long(now_s)):
                self._retries = PageRetries()
                self._begin_with(rows or (), last)
        for row in rows or ():
            open_time = row["open_time_ms"]
            self._rest_last = max(self._rest_last, open_time)
            if self._next is not None and max(first, self._next) <= open_time <= last:
                # The final of the stream, if it is there, cannot be a premature read.
                self._waiting.setdefault(open_time, row)
            elif self._is_missed(open_time):
                effects += self._follow_up(row)
            else:
                effects += self._published.revision(row)
        effects += self._drain()
        effects += self._unanswered(first // self._step, last // self._step, now_s, answered=rows is not None)
        if self._next is not None and self._next <= last:
            self._retries.answered(rows, self._next, now_s)
            effects += self._missing(last, now_s)
        elif self._warm_up_from is None:
            self._retries = PageRetries()
        if self._next is not None:
            effects += self._beside_before(self._next)
        return effects + self._settle()

    def _on_grid(self, rows: Sequence[KlineMessage], last: int) -> Sequence[KlineMessage]:
        """The rows on the grid; a recorded exchange may have others, off the grid, in their place."""
        beside = [row for row in rows if row["open_time_ms"] % self._step]
        if not beside:
            return rows
        for row in beside:
            if self._beside_last < row["open_time_ms"] < last + self._step:
                self._beside[row["open_time_ms"]] = row
        return [row for row in rows if not row["open_time_ms"] % self._step]

    def _beside_before(self, open_time: int) -> list[Effect]:
        """Publish bars beside the grid that come before this open time; they leave no hole."""
        due = sorted(at for at in self._beside if at < open_time)
        if due:
            self._beside_last = due[-1]
        return [Publish(self._topic, self._beside.pop(at)) for at in due]

    def _begin_at(self, open_time: int, *, recorded: bool) -> None:
        """The stream brings the first bar of a series that was empty when it was begun.

        Earlier bars may have been issued without events, so the series begins at this one, open or closed,
        only if REST has none before it. A recording has no bars but those that it plays.
        """
        self._seen = open_time if self._seen is None else min(self._seen, open_time)
        if self._warm_up_from is not None:
            return
        if recorded or self._absent_last is None or self._seen <= self._absent_last + self._step:
            self._next = self._seen
            return
        self._warm_up_from = self._absent_last + self._step
        self._known_last = max(self._known_last, self._seen - self._step)

    def _begin_with(self, rows: Sequence[KlineMessage], last: int) -> None:
        """Begin with REST's first row; earlier bars were never issued: a listing, or a short recording."""
        if rows:
            # The stream may have brought an earlier bar than REST has.
            self._next = min([rows[0]["open_time_ms"], *self._waiting])
            self._warm_up_from = None
        elif last < self._known_last:
            self._warm_up_from = last + self._step
        else:
            self._warm_up_from = None
            self._next = min(self._waiting, default=self._seen)
            if self._next is None:
                self._absent_last = max(last, self._absent_last or 0)
                self._ask_later()

    def _ask_later(self) -> None:
        """REST has no bars that have closed by the clock: the exchange may be halted."""
        pause_ms = min(_LONGEST_PAUSE_MS, 2**self._vain * 2 * _CLOCK_PAUSE_MS)
        self._vain = min(self._vain + 1, 10)
        self._clock_again_ms = self._now_ms + pause_ms

    def _receive_closed(self, kline: KlineMessage) -> list[Effect]:
        open_time = kline["open_time_ms"]
        if open_time == self._next:
            effects = [*lateness(kline), *self._beside_before(open_time), self._publish(kline)]
            return [*effects, *self._drain(), *self._settle()]
        known = None if self._next is None else self._next - self._step
        if known is not None and continuity(known, open_time, open_time, self._step) is Continuity.DUPLICATE:
            if self._is_missed(open_time):
                return self._follow_up(kline)
            return [*self._published.repetition(kline)]
        self._known_last = max(self._known_last, open_time)
        self._stream_last = max(self._stream_last, open_time)
        if len(self._waiting) < WAITING_BARS:
            self._waiting.setdefault(open_time, kline)
        return [*lateness(kline), *self._settle()]

    def _receive_open(self, kline: KlineMessage) -> list[Effect]:
        open_time = kline["open_time_ms"]
        if self._next is not None and open_time < self._next:
            return []
        if self._filling:
            self._live = kline
            return []
        effects: list[Effect] = [Publish(self._live_topic, kline)]
        event_time = kline["event_time_ms"]
        if self._next is None:
            return effects + self._settle()
        if event_time is not None and event_time - open_time > FINAL_GRACE_MS:
            self._known_last = max(self._known_last, open_time - self._step)
            self._stream_last = max(self._stream_last, open_time - self._step)
            effects += self._settle()
        return effects

    def _publish(self, kline: KlineMessage) -> Publish:
        open_time = kline["open_time_ms"]
        self._next, self._vain = open_time + self._step, 0
        self._trade_id = self._newest_trade(kline)
        self._published.remember(kline)
        return Publish(self._topic, kline, open_time)

    def _newest_trade(self, kline: KlineMessage) -> int | None:
        """The newest trade up to the end of the next bar.

        REST omits trade ids, but trades are counted and their ids leave no hole (BINANCE_SPOT.md §5 law 1).
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
            effects += self._beside_before(self._next)
            effects.append(self._publish(self._waiting.pop(self._next)))
        return effects

    def _missing(self, last: int, now_s: float) -> list[Effect]:
        """REST was asked up to `last` and did not give the next bar."""
        assert self._next is not None
        effects: list[Effect] = []
        if not self._retries.soon_over(now_s):
            return effects
        # All bars of the page were asked for equally often.
        while self._waiting and self._next <= last:
            hole_last = min(last, min(self._waiting) - self._step)
            holes = list(self._holes(self._next, hole_last))
            if not self._retries.order_over(now_s) and not all(hole.cause in _EXCUSED for hole in holes):
                return effects
            for hole in holes:
                effects += self._pass_over(hole, now_s)
            self._next = hole_last + self._step
            effects += self._drain()
        if not self._waiting:
            # No later bar is known: the exchange may be halted. The next bar decides.
            effects += self._beside_before(last + self._step)
            self._known_last = self._next - self._step
            self._ask_later()
        self._retries = PageRetries()
        return effects

    def _pass_over(self, hole: Hole, now_s: float) -> list[Effect]:
        if hole.cause != "no trades":
            self._trade_id = None  # the number of its trades is unknown
            self._named.want()
        effects: list[Effect] = []
        surely = IdRanges()
        if hole.cause == "halted":
            surely = self._halts.closed_bars(hole.first, hole.last, self._step)
            for missing in self._ranges_of(surely, hole, now_s):
                effects.append(self._excuse(missing, _detail(hole)))
        detail = "the exchange does not have it now; later bars are published"
        bars = IdRanges([(hole.first // self._step, hole.last // self._step)])
        for missing in self._ranges_of(bars.difference(surely), hole, now_s):
            if self._passed_over.range_count() < MAX_HOLES:
                self._passed_over.add(missing)
            else:
                detail = (
                    f"{MAX_HOLES:,} holes are open, more are not followed; `cryptostream repair` fetches it"
                )
            first, last = missing.first * self._step, missing.last * self._step
            effects.append(LedgerEvent("expected", first, last, detail=detail))
        return effects

    def _ranges_of(self, bars: IdRanges, hole: Hole, now_s: float) -> Iterator[MissingRange]:
        """Parts of a hole, to be asked for in the background."""
        passed, doubtful = self._rest_last > hole.last, hole.cause in _EXCUSED
        for low, high in bars:
            missing = MissingRange(low, high, None, hole.last, hole.cause == "offline", doubtful=doubtful)
            yield self._retries.continued(missing, now_s, passed=passed)

    def _excuse(self, missing: MissingRange, detail: str | None) -> LedgerEvent:
        """Enter them as never issued. If REST has them later, they are published late."""
        if self._excused.range_count() < MAX_HOLES:
            self._excused.add(missing)
        return LedgerEvent("halted", missing.first * self._step, missing.last * self._step, detail=detail)

    def _is_missed(self, open_time: int) -> bool:
        return open_time // self._step in self._passed_over or open_time // self._step in self._excused

    def _follow_up(self, kline: KlineMessage) -> list[Effect]:
        """Publish a bar that was passed over: the only case of a bar after later ones."""
        open_time = kline["open_time_ms"]
        for missed in (self._passed_over, self._excused):
            missed.remove(open_time // self._step, open_time // self._step)
        detail = "came after later bars were published"
        return [Publish(self._topic, kline), LedgerEvent("late", open_time, open_time, detail=detail)]

    def _unanswered(self, first: int, last: int, now_s: float, *, answered: bool) -> list[Effect]:
        """Bars that REST was asked for and that are still missing."""
        reached = self._rest_last // self._step if answered else -1
        effects = self._give_up(self._passed_over.unanswered(first, last, now_s, reached), now_s)
        for missing in self._passed_over.proven():
            self._passed_over.remove(missing.first, missing.last)
            effects.append(self._excuse(missing, f"never issued: {missing.asking(now_s)}"))
        self._excused.unanswered(first, last, now_s)
        for missing in list(self._excused.within(first, last)):
            if missing.since_s is not None and now_s - missing.since_s >= AFTER_PROOF_S:
                self._excused.remove(missing.first, missing.last)
        return effects

    def _give_up(self, exhausted: Iterable[MissingRange], now_s: float) -> list[Effect]:
        effects: list[Effect] = []
        for missing in exhausted:
            self._passed_over.remove(missing.first, missing.last)
            kind = KIND_BY_CAUSE["offline" if missing.offline else "missed"]
            first, last = missing.first * self._step, missing.last * self._step
            effects.append(LedgerEvent(kind, first, last, detail=missing.asking(now_s)))
        return effects

    def _holes(self, first: int, last: int) -> Iterator[Hole]:
        """The missing bars `first` to `last`, whose neighbours are not missing, by cause."""
        before = self._trade_id if first == self._next else None
        if before is None:
            before = self._named.before(first)
        later = sorted(open_time for open_time in self._waiting if open_time > last)
        traded = (bar for bar in map(self._waiting.__getitem__, later) if bar["trade_count"])
        after = next((bar["first_trade_id"] for bar in traded), None)
        no_trades = before is not None and after == before + 1
        return holes_of_bars(
            first, last, self._step, no_trades=no_trades, halts=self._halts, offline_last=self._offline_last
        )

    def _settle(self) -> list[Effect]:
        """Ask for missing bars; if none is missing, publish the held update of the open bar."""
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
        """Newest missing bar of the page from `first` on, if one is missing."""
        last = min(self._known_last, first + (PAGE - 1) * self._step)
        if self._next is not None:
            while last in self._waiting:
                last -= self._step
        return last

    def _fill(self, first: int) -> list[Effect]:
        self._filling = True
        if self._open_since_ms is None:
            self._open_since_ms = self._now_ms
        if not self._retries.asked:
            # Bars found missing later wait: a page is given up as a whole.
            self._page_last = self._missing_last(first)
        effects = self._announce(first)
        return [
            *effects,
            FillKlines(self._symbol, self._interval, first, self._page_last, self._retries.delay_s),
        ]

    def _announce(self, first: int) -> list[Effect]:
        """Enter newly found holes as gaps; before REST has answered, the series' beginning is unknown."""
        effects: list[Effect] = []
        if self._next is None:
            return effects
        for begin, end in self._holes_up_to(self._known_last, max(first, self._announced + self._step)):
            effects += [
                LedgerEvent("gap", hole.first, hole.last, detail=hole.cause)
                for hole in self._holes(begin, end)
            ]
        self._announced = max(self._announced, self._known_last)
        return effects

    def _holes_up_to(self, last: int, begin: int | None = None) -> Iterator[tuple[int, int]]:
        """First and last bar of each run that is missing, from `begin` (the next bar) up to `last`."""
        at = begin if begin is not None else self._next
        while at is not None and at <= last:
            later = [open_time for open_time in self._waiting if open_time >= at]
            end = min(later, default=last + self._step) - self._step
            if at <= end:
                yield at, end
            at = end + self._step
            while at in self._waiting:
                at += self._step


def _detail(hole: Hole) -> str | None:
    return None if hole.cause == "missed" else hole.cause
