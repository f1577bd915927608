"""Closed bars of one symbol and interval: each once, in open-time order, without a hole (DESIGN §5).

Source of the rules: BINANCE_SPOT.md §4.5, §9.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from producers.effects import PAGE, RETRY_DELAYS_S, Effect, FillKlines, LedgerEvent, Publish
from producers.halts import Halts
from shared.id_ranges import IdRanges
from shared.intervals import interval_ms, open_time_ms
from shared.messages import KlineMessage
from shared.topics import klines_live_topic, klines_topic

# Closed bars that wait for an earlier one; what comes beyond is fetched over REST later (DESIGN §5).
WAITING_BARS: Final = 10_000
# A final may come some seconds after the border; an open bar older than this proves that it was missed.
FINAL_GRACE_MS: Final = 5_000
_REMEMBERED: Final = 64  # published bars whose content is kept to tell a repetition from a revision


class KlineSequence:
    """One series of bars.

    A bar that is next is published; a later one waits while REST is asked for those before it. An open time
    that REST does not have, though a later bar exists, is given up after the retries: `halted` where
    exchangeInfo said so, else `lost`.

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
        self._filling = False
        self._attempt = 0
        self._live: KlineMessage | None = None  # latest update of the open bar, held back while filling
        self._published: dict[int, tuple[Any, ...]] = {}

    @property
    def filling(self) -> bool:
        """An answer of REST is awaited."""
        return self._filling

    def begin(self, last_open_time_ms: int | None, server_time_ms: int, warmup_bars: int) -> list[Effect]:
        """Start after the last published bar or, where there is none, `warmup_bars` back (DESIGN §5.5).

        Args:
            last_open_time_ms: open time of the last bar on the topic, None if it has none.
            server_time_ms: the exchange's clock, taken before.
        """
        current = open_time_ms(self._interval, server_time_ms)
        self._known_last = self._announced = current - self._step
        if last_open_time_ms is not None:
            self._next = last_open_time_ms + self._step
        elif warmup_bars > 0:
            self._warm_up_from = max(0, current - warmup_bars * self._step)
        else:
            self._next = current
        return self._settle()

    def receive(self, kline: KlineMessage) -> list[Effect]:
        """Take an event of the stream: a closed bar or an update of the open one."""
        return self._receive_closed(kline) if kline["closed"] else self._receive_open(kline)

    def receive_rows(self, first: int, last: int, rows: Sequence[KlineMessage]) -> list[Effect]:
        """Take the finished bars that REST has between the open times `first` and `last`, ascending."""
        self._filling = False
        if self._warm_up_from is not None:
            self._begin_with(rows, last)
        for row in rows:
            open_time = row["open_time_ms"]
            if self._next is not None and max(first, self._next) <= open_time <= last:
                # The final of the stream, if it is there, is the one nobody can have read too early.
                self._waiting.setdefault(open_time, row)
        effects = self._drain()
        if self._next is not None and self._next <= last:
            effects += self._missing(last)
        else:
            self._attempt = 0
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
            return [self._publish(kline), *self._drain(), *self._settle()]
        if self._next is not None and open_time < self._next:
            return [self._repetition(kline)]
        self._known_last = max(self._known_last, open_time)
        if len(self._waiting) < WAITING_BARS:
            self._waiting.setdefault(open_time, kline)
        return self._settle()

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

    def _repetition(self, kline: KlineMessage) -> LedgerEvent:
        open_time = kline["open_time_ms"]
        before = self._published.get(open_time)
        if before is None or before == _content(kline):
            return LedgerEvent("duplicate", open_time, open_time)
        return LedgerEvent("revised", open_time, open_time, detail=f"close {before[3]}, now {kline['close']}")

    def _publish(self, kline: KlineMessage) -> Publish:
        open_time = kline["open_time_ms"]
        self._next = open_time + self._step
        self._published[open_time] = _content(kline)
        if len(self._published) > _REMEMBERED:
            del self._published[next(iter(self._published))]
        return Publish(self._topic, kline, open_time)

    def _drain(self) -> list[Effect]:
        effects: list[Effect] = []
        while self._next in self._waiting:
            effects.append(self._publish(self._waiting.pop(self._next)))
        return effects

    def _missing(self, last: int) -> list[Effect]:
        """REST has answered up to `last`, but not with the bar that is next."""
        assert self._next is not None
        self._attempt += 1
        if self._attempt <= len(RETRY_DELAYS_S):
            return []
        self._attempt = 0
        if not self._waiting:
            # Nothing later is known: perhaps the exchange stands still. The next bar will tell.
            self._known_last = self._next - self._step
            return []
        hole_last = min(last, min(self._waiting) - self._step)
        effects = self._give_up(self._next, hole_last)
        self._next = hole_last + self._step
        return effects + self._drain()

    def _give_up(self, first: int, last: int) -> list[Effect]:
        halted = self._halts.halted_bars(first, last, self._step)
        lost = IdRanges([(first // self._step, last // self._step)]).difference(halted)
        return [
            *self._events("halted", halted),
            *self._events("lost", lost),
        ]

    def _events(self, kind: str, bars: Iterable[tuple[int, int]]) -> list[Effect]:
        return [LedgerEvent(kind, first * self._step, last * self._step) for first, last in bars]

    def _settle(self) -> list[Effect]:
        """Ask for what is missing now; with nothing missing, let the latest open update go."""
        if self._filling:
            return []
        first = self._warm_up_from if self._next is None else self._next
        last = (
            min(self._waiting) - self._step if self._waiting and self._next is not None else self._known_last
        )
        if first is not None and first <= last:
            return self._fill(first, last)
        live, self._live = self._live, None
        if live is None or (self._next is not None and live["open_time_ms"] < self._next):
            return []
        return [Publish(self._live_topic, live)]

    def _fill(self, first: int, last: int) -> list[Effect]:
        self._filling = True
        effects: list[Effect] = []
        if last > self._announced:
            effects.append(LedgerEvent("gap", max(first, self._announced + self._step), last))
            self._announced = last
        page_last = min(last, first + (PAGE - 1) * self._step)
        delay_s = RETRY_DELAYS_S[self._attempt - 1] if self._attempt else 0.0
        return [*effects, FillKlines(self._symbol, self._interval, first, page_last, delay_s)]


def _content(kline: KlineMessage) -> tuple[Any, ...]:
    """What a bar says, whichever way it came."""
    return (
        kline["open"],
        kline["high"],
        kline["low"],
        kline["close"],
        kline["base_volume"],
        kline["quote_volume"],
        kline["trade_count"],
        kline["taker_buy_base_volume"],
        kline["taker_buy_quote_volume"],
    )
