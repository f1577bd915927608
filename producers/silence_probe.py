"""Proves from other sources that a silent stream is not carried. Pure.

Bars count trades and name the newest; quotes name the book update that they show; our own book shows changes
of the best prices; where all of these are silent, REST is asked. Data of another source may still be on its
way in the stream, so it is a proof only after a grace period.

Source of the rules: BINANCE_SPOT.md §4.5 (`f`, `L` and `n` of bars), §4.8 (`u` of quotes), §5, §8.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from producers.doubtful_trades import DISORDER_MS
from producers.effects import Effect, ProbeResult, ProbeStreams
from producers.exchanges.port import Pace
from producers.newest_messages import NewestMessages
from producers.stream_health import DEPTH, QUOTE, TRADE, Entry, StreamHealth, StreamKey, Uncarried

# A stream is checked after so long without a message; with the grace below, and checks once a second, a dead
# stream is noticed within 15 s.
SILENT_S: Final = 8.0
# Sources differ by up to so much; REST trails or precedes the stream by as much.
GRACE_S: Final = 4.0
_SOON_S: Final = 4.0

Best = tuple[tuple[float, float], tuple[float, float]]


class LaterBar(NamedTuple):
    """The trades of a bar.

    Attributes:
        first, last: their ids, the exchange's.
        open_ms: none of them is earlier. time_ms: none of them is later.
    """

    first: int
    last: int
    open_ms: int
    time_ms: int


class _Lead:
    """An id of another source that is ahead of a stream."""

    def __init__(self) -> None:
        self.target: int | None = None
        self._since_s = 0.0

    def stood(self, known: int | None, seen: int | None, now_s: float) -> bool:
        """Whether the stream, now at `seen`, has not reached what was `known` for the grace period."""
        if self.target is not None and seen is not None and seen >= self.target:
            self.target = None
        if self.target is not None and (known is None or known < self.target):
            # The source went back: ids have begun anew, or it was wrong.
            self.target = None
        if known is None or seen is None or (self.target is None and known <= seen):
            return False
        if self.target is None:
            self.target, self._since_s = known, now_s
        return now_s - self._since_s >= GRACE_S


class SilenceProbe:
    """All streams of one symbol.

    Args:
        newest: the newest message of each stream; written for every message, read once a second.
        began_ms: the exchange's clock at the first subscription.
        pace: how often REST may be asked for a silent symbol.
        book_ids: diffs, quotes and REST's books are numbered alike; without that only trades and bars are
            checked.
        before: see `StreamHealth`.

    Attributes:
        health: which streams are not carried.
        lost_book: why the book is not carried, until the caller takes it.
        issued: id of a trade up to which all are to be fetched, and a time not before its own, until the
            caller takes it.
        later_bar: a bar after the newest trade received whose trades have no higher ids: trade ids have begun
            anew, and the stream does not bring them.
        trade_base: the trade after which a series without trades begins.
    """

    def __init__(
        self,
        newest: NewestMessages,
        now_s: float,
        began_ms: int,
        pace: Pace | None = None,
        *,
        book_ids: bool = True,
        before: Iterable[Entry] = (),
    ) -> None:
        self._klines: list[StreamKey] = [stream for stream in newest if stream[0] == "kline"]
        self.health = StreamHealth(newest, now_s, began_ms, before)
        self.newest = newest
        self.issued: tuple[int, int] | None = None
        self.later_bar: LaterBar | None = None
        self.lost_book: str | None = None
        self.trade_base: int | None = None
        self._pace = pace or Pace()
        self._book_ids = book_ids
        self._before: dict[StreamKey, Any] = dict.fromkeys(newest)
        self._began_ms = began_ms
        self._trouble = ""
        # Trades: the newest one of another source: id, time, source.
        self._known: tuple[int, int, str] | None = None
        self._bar: Any = None  # the bar with the newest trades
        self._trade_lead = _Lead()
        self._fill_again_s = now_s
        # When a connection was opened after the proof, and the newest trade known shortly after: the new one
        # may carry the stream. `_fetched`: all trades up to this one were then, by this time.
        self._reopened_s: float | None = None
        self._known_then: int | None = None
        self._fetched: tuple[int, int] | None = None
        # The book: the newest update of another source.
        self._update: tuple[int, str] | None = None
        self._update_base: int | None = None
        self._depth_lead = _Lead()
        # Quotes: the best prices before the first one, and since when they differ from the newest quote.
        self._first_best: Best | None = None
        self._differs_since_s: float | None = None
        self._probing = False
        self._probe_again_s = now_s

    @property
    def uncarried(self) -> list[Uncarried]:
        return self.health.uncarried

    def tick(
        self, now_s: float, now_ms: int, best: Best | None, *, closed: bool = False, trouble: str = ""
    ) -> list[Effect]:
        """Check all streams; call it about once a second.

        Args:
            best: best bid and ask of our own book with their quantities, while it is exact.
            closed: exchangeInfo says that the symbol is not traded now.
            trouble: the connection's last error.
        """
        self._trouble = f" ({trouble})" if trouble else ""
        for stream in self.newest:
            message = self.newest[stream]
            if message is not self._before[stream]:
                self._before[stream] = message
                self.health.heard(stream, now_s, now_ms)
                if stream == QUOTE:
                    self._differs_since_s = None
        self.health.tick(now_s, now_ms)
        if closed:
            return []
        self._check_trades(now_s, now_ms)
        if self._book_ids:
            self._check_depth(now_s, now_ms)
            self._check_quotes(now_s, now_ms, best)
        return self._probe_rest(now_s)

    def reopened(self, now_s: float) -> None:
        """The streams are read from another connection."""
        self._reopened_s = now_s

    def check_return(self, complete_to: int | None, now_s: float, now_ms: int) -> None:
        """Count trades as carried again when REST's are fetched and a new connection withholds none.

        The next trade of a quiet symbol may be hours away.

        Args:
            complete_to: up to this trade none is missing; None if one is.
        """
        # After a restart no source may name a trade but REST, when the series went on.
        known = self.trade_base if self._known is None else self._known[0]
        reopened_s = self._reopened_s
        if known is None or reopened_s is None or not self.health.is_uncarried(TRADE):
            return
        if self._known_then is None:
            self._reopened_s = now_s  # what was issued before is known only now
            self._known_then = known
        elif now_s - reopened_s < GRACE_S:
            self._known_then = known
        elif known != self._known_then:
            self._reopened_s = None  # this connection does not bring new trades either
        elif now_s - reopened_s >= GRACE_S + SILENT_S and complete_to is not None and complete_to >= known:
            self._fetched = complete_to, now_ms
            self.health.trust(TRADE, now_ms, "fetched, and nothing has been issued since")

    def receive_bars(self, interval: str, newest_close_ms: int, now_s: float, now_ms: int) -> None:
        """REST, which is asked only for bars that the stream lacks, has them up to one that closed then."""
        stream: StreamKey = ("kline", interval)
        silent_since_ms = self.health.heard_ms(stream)
        if newest_close_ms > silent_since_ms and self.health.silence_s(stream, now_s) >= GRACE_S:
            why = f"REST has bars up to the one that closed {(now_ms - newest_close_ms) / 1000:.0f} s ago"
            self.health.prove(stream, now_s, now_ms, why + self._trouble)

    def receive_probe(self, result: ProbeResult, now_s: float, now_ms: int) -> None:
        """Take the answer to `ProbeStreams`."""
        self._probing = False
        if result.newest_trade is not None:
            if result.first_trade is not None and self.trade_base is None:
                # Trades issued since the first subscription that no stream has brought.
                self.trade_base = result.first_trade - 1
            latest_ms = now_ms if result.latest_ms is None else result.latest_ms
            self._know(result.newest_trade, latest_ms, "REST")
        if result.update_id is not None:
            if self._update_base is None and self.newest[DEPTH] is None:
                self._update_base = result.update_id
                self._probe_again_s = now_s + _SOON_S
            if self._update is None or result.update_id > self._update[0]:
                self._update = result.update_id, "REST"
            self._compare(result.best, now_s)

    def last_probe(self, now_s: float) -> list[Effect]:
        """The streams have ended: trades that bars name are fetched; if trades were silent, REST is asked."""
        self._hear_bars()
        self._find_issued()
        if self._probing or self.health.silence_s(TRADE, now_s) < GRACE_S:
            return []
        self._probing = True
        unheard = self.newest[TRADE] is None and self.trade_base is None
        return [ProbeStreams(trades=True, book=False, since_ms=self._began_ms if unheard else None)]

    def conclude(self, now_ms: int) -> None:
        """The streams have ended: known trades that are missing are expected, uncarried streams entered."""
        self._find_issued()
        self.health.conclude(now_ms)

    def _find_issued(self) -> None:
        seen, known = self._seen_trade(), self._known
        self.later_bar = self._bar_of_another_numbering()
        if self.later_bar is None and known is not None and seen is not None and known[0] > seen:
            self.issued = known[:2]

    def _know(self, trade_id: int, time_ms: int, source: str) -> None:
        if self._known is None or trade_id > self._known[0] or source != "REST":
            self._known = trade_id, time_ms, source

    def _seen_trade(self) -> int | None:
        newest, fetched = self.newest.highest_trade, self._fetched
        if fetched is not None:
            to, time_ms = fetched
            if newest is None or (
                newest["trade_id"] < to and newest["trade_time_ms"] <= time_ms + DISORDER_MS
            ):
                return to
        return self.trade_base if newest is None else newest["trade_id"]

    def _hear_bars(self) -> None:
        """Take the last trade of the newest bar, in the numbering of the stream."""
        bars = [bar for key in self._klines if (bar := self.newest[key]) is not None and _names_trades(bar)]
        if bars:
            self._bar = bar = max(bars, key=lambda bar: bar["event_time_ms"])
            last, time_ms = bar["last_trade_id"], bar["event_time_ms"]
            # A later bar may name a lower id: ids have begun anew. An old bar says nothing about now.
            if self._known is None or last > self._known[0] or time_ms > self._known[1]:
                self._know(last, time_ms, "a bar")
            if self.trade_base is None:
                self.trade_base = bar["last_trade_id"]
        heard, known = self.newest.highest_trade, self._known
        if known is None or heard is None or heard["trade_id"] >= known[0]:
            return
        if heard["trade_time_ms"] > known[1] + DISORDER_MS:
            self._known = None  # its numbering has ended, which bars without trades do not show

    def _bar_of_another_numbering(self) -> LaterBar | None:
        """A bar after the newest trade received that names no higher ids: ids rise with time."""
        heard, bar = self.newest.highest_trade, self._bar
        if heard is None or bar is None or bar["first_trade_id"] > heard["trade_id"]:
            return None
        if bar["open_time_ms"] <= heard["trade_time_ms"] + DISORDER_MS:
            return None
        ids = bar["first_trade_id"], bar["last_trade_id"]
        return LaterBar(*ids, bar["open_time_ms"], bar["event_time_ms"])

    def _check_trades(self, now_s: float, now_ms: int) -> None:
        self._hear_bars()
        later = self._bar_of_another_numbering()
        if later is not None:
            self._check_numbering(later, now_s, now_ms)
            return
        seen, known = self._seen_trade(), self._known
        if known is None or not self._trade_lead.stood(known[0], seen, now_s):
            return
        if self.health.silence_s(TRADE, now_s) >= GRACE_S:
            why = f"{known[2]} has trade {known[0]}, the stream is at {seen}{self._trouble}"
            if self.health.prove(TRADE, now_s, now_ms, why):
                self._reopened_s = None
        if now_s >= self._fill_again_s:
            self._fill_again_s = now_s + self._pace.fill_s
            self.issued = known[:2]

    def _check_numbering(self, later: LaterBar, now_s: float, now_ms: int) -> None:
        if self.health.silence_s(TRADE, now_s) < GRACE_S:
            return  # the stream brings trades, and REST is asked about those that do not fit
        why = f"a bar after trade {self._seen_trade()} counts trades from {later.first} on"
        self.health.prove(TRADE, now_s, now_ms, why + self._trouble)
        if now_s >= self._fill_again_s:
            self._fill_again_s = now_s + self._pace.fill_s
            self.later_bar = later

    def _check_depth(self, now_s: float, now_ms: int) -> None:
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
        if self.health.silence_s(DEPTH, now_s) < SILENT_S:
            return
        why = f"{known[1]} has book update {known[0]}, the stream is at {seen}{self._trouble}"
        if self.health.prove(DEPTH, now_s, now_ms, why):
            self.lost_book = f"the stream is not carried: {why}"

    def _check_quotes(self, now_s: float, now_ms: int, best: Best | None) -> None:
        if self.health.silence_s(DEPTH, now_s) < SILENT_S:
            # A book without recent diffs says nothing about now.
            self._compare(best, now_s)
        if self._differs_since_s is None or now_s - self._differs_since_s < GRACE_S:
            return
        if self.health.silence_s(QUOTE, now_s) >= SILENT_S:
            why = f"the best prices of the book have changed without a quote{self._trouble}"
            self.health.prove(QUOTE, now_s, now_ms, why)

    def _compare(self, best: Best | None, now_s: float) -> None:
        """Compare best prices with the newest quote, or with the first ones known if there is none."""
        if best is None:
            return
        quote = self.newest[QUOTE]
        shown = self._first_best if quote is None else best_of_quote(quote)
        if shown is None and quote is None:
            self._first_best = best
        elif best == shown:
            self._differs_since_s = None
        elif self._differs_since_s is None:
            self._differs_since_s = now_s

    def _probe_rest(self, now_s: float) -> list[Effect]:
        """Ask REST about streams that no other source can prove uncarried."""
        if self._probing or now_s < self._probe_again_s:
            return []
        silence_s = self.health.silence_s
        bars = min((silence_s(stream, now_s) for stream in self._klines), default=SILENT_S)
        trades = silence_s(TRADE, now_s) >= SILENT_S and bars >= SILENT_S
        silent_book = silence_s(DEPTH, now_s) >= SILENT_S and silence_s(QUOTE, now_s) >= SILENT_S
        book = (
            self._book_ids
            and silent_book
            and not (self.health.is_uncarried(DEPTH) and self.health.is_uncarried(QUOTE))
        )
        if not trades and not book:
            return []
        self._probing, self._probe_again_s = True, now_s + self._pace.probe_s
        unheard = self.newest[TRADE] is None and self.trade_base is None
        return [ProbeStreams(trades, book, self._began_ms if unheard else None)]


def _names_trades(bar: Any) -> bool:
    """Whether a bar names its trades: as many ids as it counts."""
    first, last = bar["first_trade_id"], bar["last_trade_id"]
    return (
        bar["event_time_ms"] is not None
        and bar["trade_count"] > 0
        and first is not None
        and last is not None
        and last - first + 1 == bar["trade_count"]
    )


def best_of_quote(quote: Any) -> Best | None:
    """Best bid and ask, as numbers, since trailing zeros vary; None if a side is empty."""
    if quote["bid_price"] is None or quote["ask_price"] is None:
        return None
    return (
        (float(quote["bid_price"]), float(quote["bid_quantity"])),
        (float(quote["ask_price"]), float(quote["ask_quantity"])),
    )
