"""What other sources know of a stream that it has not brought: the proof that it is not carried. Pure.

Bars count trades and name the newest one; quotes name the update of the book that they show; our own book
shows when its best prices change; and where all of these are silent REST is looked at. What another source
has may only be on its way, so it proves something when it has stood for a while.

Source of the rules: BINANCE_SPOT.md §4.5 (`f`, `L` and `n` of bars), §4.8 (`u` of quotes), §5, §8.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from producers.carriage import DEPTH, QUOTE, TRADE, Carriage, StreamKey, Uncarried
from producers.effects import Effect, LookAt, Looked
from producers.trade_doubts import DISORDER_MS

# A stream that has said nothing for so long is looked into; with the grace below, and a second for each of
# their looks, it is noticed within 15 s.
SILENT_S: Final = 8.0
# What one source has, another may bring a little later; REST trails or precedes the stream by as much.
GRACE_S: Final = 4.0
# Between two looks at REST, and between two fills of what a stream does not bring.
PERIOD_S: Final = 10.0
_SOON_S: Final = 4.0
# The exchange's clock is known within half a round trip; a trade must not seem to come from the future.
_CLOCKS_APART_MS: Final = 500

Best = tuple[tuple[float, float], tuple[float, float]]


class Pace(NamedTuple):
    """Seconds between two looks at REST for a silent symbol, and between two fills of its trades."""

    look_s: float = PERIOD_S
    fill_s: float = PERIOD_S


# What all symbols of a deployment together may spend on a minute's looks and fills, of 6,000: only where
# everything is silent, and never beyond what the budget can spare.
_LOOK_SHARE: Final = 300
_FILL_SHARE: Final = 1_200
_LOOK_WEIGHT: Final = 9
_FILL_WEIGHT: Final = 25


def pace_of(symbols: int) -> Pace:
    """How often REST may be asked for a silent symbol, one of so many."""
    return Pace(
        max(PERIOD_S, symbols * _LOOK_WEIGHT * 60 / _LOOK_SHARE),
        max(PERIOD_S, symbols * _FILL_WEIGHT * 60 / _FILL_SHARE),
    )


class LaterBar(NamedTuple):
    """What a bar says of its trades.

    Attributes:
        first, last: their ids, the exchange's.
        open_ms: none of them is earlier. time_ms: none of them is later.
    """

    first: int
    last: int
    open_ms: int
    time_ms: int


class _Lead:
    """Something that another source has, ahead of a stream."""

    def __init__(self) -> None:
        self.target: int | None = None
        self._since_s = 0.0

    def stood(self, known: int | None, seen: int | None, now_s: float) -> bool:
        """Whether the stream, which is at `seen`, has not come to what was `known` a grace ago."""
        if self.target is not None and seen is not None and seen >= self.target:
            self.target = None
        if self.target is not None and (known is None or known < self.target):
            # Its source has taken it back: ids have begun anew, or it was wrong.
            self.target = None
        if known is None or seen is None or (self.target is None and known <= seen):
            return False
        if self.target is None:
            self.target, self._since_s = known, now_s
        return now_s - self._since_s >= GRACE_S


class Lookout:
    """All streams of one symbol.

    Args:
        newest: the newest message of each stream; written for every message, looked at once a second.
        began_ms: the exchange's clock when we began to listen.
        pace: how often REST may be asked for a silent symbol.

    Attributes:
        carriage: what is not carried.
        lost_book: why the book is not carried, once it is found out; taken by whoever looks.
        issued: the newest trade known to be issued, and a time not before its own, when those up to it
            are to be fetched.
        later_bar: a bar that begins after the newest trade heard and counts trades of no higher ids:
            they have begun anew, and the stream does not bring them.
        trade_base: where a series that has no trade yet begins: after this one.
    """

    def __init__(
        self, newest: dict[StreamKey, Any], now_s: float, began_ms: int, pace: Pace | None = None
    ) -> None:
        self._klines: list[StreamKey] = [stream for stream in newest if stream[0] == "kline"]
        self.carriage = Carriage(newest, now_s, began_ms)
        self.newest = newest
        self.issued: tuple[int, int] | None = None
        self.later_bar: LaterBar | None = None
        self.lost_book: str | None = None
        self.trade_base: int | None = None
        self._pace = pace or Pace()
        self._before: dict[StreamKey, Any] = dict.fromkeys(newest)
        self._began_ms = began_ms
        self._trouble = ""
        # Trades: the newest one that anything but the stream tells of.
        self._known: tuple[int, int, str] | None = None
        self._bar: Any = None  # that names the newest trades
        self._trade_lead = _Lead()
        self._fill_again_s = now_s
        # When a connection was opened after that proof, and what was known shortly after: another one may
        # bring what the one before did not. `_fetched`: the newest trade heard then, and what REST gave.
        self._reopened_s: float | None = None
        self._known_then: int | None = None
        self._fetched: tuple[Any, int] | None = None
        # The book: the newest update that anything but the stream tells of.
        self._update: tuple[int, str] | None = None
        self._update_base: int | None = None
        self._depth_lead = _Lead()
        # Quotes: the best prices before the first one, and since when they are others than the newest says.
        self._first_best: Best | None = None
        self._moved_s: float | None = None
        self._looking = False
        self._look_again_s = now_s

    @property
    def uncarried(self) -> list[Uncarried]:
        return self.carriage.uncarried

    def tick(
        self, now_s: float, now_ms: int, best: Best | None, *, closed: bool = False, trouble: str = ""
    ) -> list[Effect]:
        """Judge what has come; call it about once a second.

        Args:
            best: best bid and ask of our own book with their quantities, while it is exact.
            closed: the exchange says that it does not trade the symbol now.
            trouble: what is wrong with the connection, in words.
        """
        self._trouble = f" ({trouble})" if trouble else ""
        for stream, message in self.newest.items():
            if message is not self._before[stream]:
                self._before[stream] = message
                self.carriage.heard(stream, now_s, now_ms)
                if stream == QUOTE:
                    self._moved_s = None
        self.carriage.tick(now_s, now_ms)
        if closed:
            return []
        self._judge_trades(now_s, now_ms)
        self._judge_depth(now_s, now_ms)
        self._judge_quotes(now_s, now_ms, best)
        return self._look(now_s)

    def reopened(self, now_s: float) -> None:
        """The streams are read from another connection."""
        self._reopened_s = now_s

    def judge_return(self, complete_to: int | None, now_s: float, now_ms: int) -> None:
        """Trades are carried again when all is fetched and another connection has kept nothing back.

        The next trade of a quiet symbol may be hours away.

        Args:
            complete_to: up to this trade nothing is missing; None if something is.
        """
        known, reopened_s = self._known, self._reopened_s
        if known is None or reopened_s is None or not self.carriage.is_uncarried(TRADE):
            return
        if now_s - reopened_s < GRACE_S:
            self._known_then = known[0]
        elif known[0] != self._known_then:
            self._reopened_s = None  # nor has this one brought what has been issued since
        elif now_s - reopened_s >= GRACE_S + SILENT_S and complete_to is not None and complete_to >= known[0]:
            self._fetched = self.newest[TRADE], complete_to
            self.carriage.trust(TRADE, now_ms, "fetched, and nothing has been issued since")

    def receive_bars(self, interval: str, newest_close_ms: int, now_s: float, now_ms: int) -> None:
        """REST has given bars up to one that closed then: had the stream brought it, nobody had asked."""
        stream: StreamKey = ("kline", interval)
        silent_since_ms = self.carriage.heard_ms(stream)
        if newest_close_ms > silent_since_ms and self.carriage.silence_s(stream, now_s) >= GRACE_S:
            why = f"REST has bars up to the one that closed {(now_ms - newest_close_ms) / 1000:.0f} s ago"
            self.carriage.prove(stream, now_s, now_ms, why + self._trouble)

    def receive_look(self, looked: Looked, now_s: float, now_ms: int) -> None:
        """Take the answer to `LookAt`."""
        self._looking = False
        if looked.newest_trade is not None:
            if looked.first_trade is not None and self.trade_base is None:
                # Those that were issued since we began to listen, and that nobody has told us of.
                self.trade_base = looked.first_trade - 1
            self._know(looked.newest_trade, now_ms + _CLOCKS_APART_MS, "REST")
        if looked.update_id is not None:
            if self._update_base is None and self.newest[DEPTH] is None:
                self._update_base = looked.update_id
                self._look_again_s = now_s + _SOON_S
            if self._update is None or looked.update_id > self._update[0]:
                self._update = looked.update_id, "REST"
            self._compare(looked.best, now_s)

    def last_look(self, now_s: float) -> list[Effect]:
        """The streams have ended: what bars know is fetched; where trades were silent REST is asked."""
        self._hear_bars()
        self._find_issued()
        if self._looking or self.carriage.silence_s(TRADE, now_s) < GRACE_S:
            return []
        self._looking = True
        unheard = self.newest[TRADE] is None and self.trade_base is None
        return [LookAt(trades=True, book=False, since_ms=self._began_ms if unheard else None)]

    def conclude(self, now_ms: int) -> None:
        """Nothing more will come: what is known and not here is expected, and what is not carried is said."""
        self._find_issued()
        self.carriage.conclude(now_ms)

    def _find_issued(self) -> None:
        seen, known = self._seen_trade(), self._known
        self.later_bar = self._bar_of_another_numbering()
        if self.later_bar is None and known is not None and seen is not None and known[0] > seen:
            self.issued = known[:2]

    def _know(self, trade_id: int, time_ms: int, source: str) -> None:
        if self._known is None or trade_id > self._known[0] or source != "REST":
            self._known = trade_id, time_ms, source

    def _seen_trade(self) -> int | None:
        newest = self.newest[TRADE]
        if self._fetched is not None and self._fetched[0] is newest:
            return self._fetched[1]
        return self.trade_base if newest is None else newest["trade_id"]

    def _hear_bars(self) -> None:
        """Which trade the newest bar ends with, in the numbering that the stream is in."""
        bars = [bar for key in self._klines if (bar := self.newest[key]) is not None and _names_trades(bar)]
        if bars:
            self._bar = bar = max(bars, key=lambda bar: bar["event_time_ms"])
            last, time_ms = bar["last_trade_id"], bar["event_time_ms"]
            # Of a later moment it may know a lower one: ids begin anew. An old bar knows nothing of now.
            if self._known is None or last > self._known[0] or time_ms > self._known[1]:
                self._know(last, time_ms, "a bar")
            if self.trade_base is None:
                self.trade_base = bar["last_trade_id"]
        heard, known = self.newest[TRADE], self._known
        if known is None or heard is None or heard["trade_id"] >= known[0]:
            return
        if heard["trade_time_ms"] > known[1] + DISORDER_MS:
            self._known = None  # of a numbering that has ended: bars without trades do not say so

    def _bar_of_another_numbering(self) -> LaterBar | None:
        """Ids rise with time: a bar that is later than the newest trade heard has none of before."""
        heard, bar = self.newest[TRADE], self._bar
        if heard is None or bar is None or bar["first_trade_id"] > heard["trade_id"]:
            return None
        if bar["open_time_ms"] <= heard["trade_time_ms"] + DISORDER_MS:
            return None
        ids = bar["first_trade_id"], bar["last_trade_id"]
        return LaterBar(*ids, bar["open_time_ms"], bar["event_time_ms"])

    def _judge_trades(self, now_s: float, now_ms: int) -> None:
        self._hear_bars()
        later = self._bar_of_another_numbering()
        if later is not None:
            self._judge_numbering(later, now_s, now_ms)
            return
        seen, known = self._seen_trade(), self._known
        if known is None or not self._trade_lead.stood(known[0], seen, now_s):
            return
        if self.carriage.silence_s(TRADE, now_s) >= GRACE_S:
            why = f"{known[2]} knows trade {known[0]}, the stream has come to {seen}{self._trouble}"
            if self.carriage.prove(TRADE, now_s, now_ms, why):
                self._reopened_s = None
        if now_s >= self._fill_again_s:
            self._fill_again_s = now_s + self._pace.fill_s
            self.issued = known[:2]

    def _judge_numbering(self, later: LaterBar, now_s: float, now_ms: int) -> None:
        if self.carriage.silence_s(TRADE, now_s) < GRACE_S:
            return  # the stream says what it brings, and what does not fit is asked about
        why = f"a bar that is later than trade {self._seen_trade()} counts those from {later.first} on"
        self.carriage.prove(TRADE, now_s, now_ms, why + self._trouble)
        if now_s >= self._fill_again_s:
            self._fill_again_s = now_s + self._pace.fill_s
            self.later_bar = later

    def _judge_depth(self, now_s: float, now_ms: int) -> None:
        quote, diff = self.newest[QUOTE], self.newest[DEPTH]
        if quote is not None:
            if self._update is None or quote["update_id"] > self._update[0]:
                self._update = quote["update_id"], "a quote"
            if self._update_base is None:
                self._update_base = quote["update_id"]
        seen = self._update_base if diff is None else diff["final_update_id"]
        known = self._update
        if known is None or not self._depth_lead.stood(known[0], seen, now_s):
            return
        if self.carriage.silence_s(DEPTH, now_s) < SILENT_S:
            return
        why = f"{known[1]} knows update {known[0]} of the book, the stream has come to {seen}{self._trouble}"
        if self.carriage.prove(DEPTH, now_s, now_ms, why):
            self.lost_book = f"the stream is not carried: {why}"

    def _judge_quotes(self, now_s: float, now_ms: int, best: Best | None) -> None:
        if self.carriage.silence_s(DEPTH, now_s) < SILENT_S:
            # A book that no diff has reached for long says nothing of now.
            self._compare(best, now_s)
        if self._moved_s is None or now_s - self._moved_s < GRACE_S:
            return
        if self.carriage.silence_s(QUOTE, now_s) >= SILENT_S:
            why = f"the best prices of the book have changed and no quote says so{self._trouble}"
            self.carriage.prove(QUOTE, now_s, now_ms, why)

    def _compare(self, best: Best | None, now_s: float) -> None:
        """Hold best prices to the newest quote, or to the first ones known where there is none."""
        if best is None:
            return
        quote = self.newest[QUOTE]
        shown = self._first_best if quote is None else best_of_quote(quote)
        if shown is None:
            self._first_best = best
        elif best == shown:
            self._moved_s = None
        elif self._moved_s is None:
            self._moved_s = now_s

    def _look(self, now_s: float) -> list[Effect]:
        """Ask REST for what nothing else can tell of."""
        if self._looking or now_s < self._look_again_s:
            return []
        silence_s = self.carriage.silence_s
        bars = min((silence_s(stream, now_s) for stream in self._klines), default=SILENT_S)
        trades = silence_s(TRADE, now_s) >= SILENT_S and bars >= SILENT_S
        silent_book = silence_s(DEPTH, now_s) >= SILENT_S and silence_s(QUOTE, now_s) >= SILENT_S
        book = silent_book and not (self.carriage.is_uncarried(DEPTH) and self.carriage.is_uncarried(QUOTE))
        if not trades and not book:
            return []
        self._looking, self._look_again_s = True, now_s + self._pace.look_s
        unheard = self.newest[TRADE] is None and self.trade_base is None
        return [LookAt(trades, book, self._began_ms if unheard else None)]


def _names_trades(bar: Any) -> bool:
    """Whether the ids of a bar's trades are what they must be: as many as it counts."""
    first, last = bar["first_trade_id"], bar["last_trade_id"]
    return (
        bar["event_time_ms"] is not None
        and bar["trade_count"] > 0
        and first is not None
        and last is not None
        and last - first + 1 == bar["trade_count"]
    )


def best_of_quote(quote: Any) -> Best:
    """Best bid and ask, as numbers: the zeros that a string ends in say nothing."""
    return (
        (float(quote["bid_price"]), float(quote["bid_quantity"])),
        (float(quote["ask_price"]), float(quote["ask_quantity"])),
    )
