"""What a kline stream has to say: bars that open, change and close, also around halts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.protocol.stream_names import StreamName
from simulator.world.bars import Bar
from simulator.world.calendar import bar_end, bar_open
from simulator.world.hashing import hash_one
from simulator.world.market import Market

Timed = tuple[int, int, dict[str, Any]]  # time, rank among equals, payload


class KlineSource:
    """Kline events: when a bar opens, on change and at a pace, and once it has closed.

    A bar without a moment of trading does not exist; one that a halt cuts short is closed when the market
    opens again.

    Source: BINANCE_SPOT.md §4.5, §15.7.
    """

    def __init__(self, market: Market, stream: StreamName, after_ms: int) -> None:
        self._market = market
        self._stream = stream
        self._pace_ms = 1_000 if stream.interval == "1s" else 2_000
        self._update = -1
        self._sent_count: int | None = None
        self._begin(self._first_open(after_ms))
        self._next_ms = self._advance(after_ms)

    def _first_open(self, after_ms: int) -> int:
        """The bar of a time, or the last before it where that one's final is still to come."""
        opened = bar_open(self._stream.interval, after_ms, self._stream.offset_ms)
        previous = opened
        while True:
            end, previous = previous, bar_open(self._stream.interval, previous - 1, self._stream.offset_ms)
            if end <= self._market.first_trade_ms:
                return opened  # nothing was before the listing
            if not self._market.halts.cover(previous, end):
                break
        return previous if self._final_ms(previous) > after_ms else opened

    def _begin(self, open_ms: int) -> None:
        """Go on with the bar of an open time, or the first after it that has a moment of trading."""
        self._open, self._end = open_ms, self._bar_end(open_ms)
        while self._end <= self._market.first_trade_ms or self._market.halts.cover(self._open, self._end):
            self._open, self._end = self._end, self._bar_end(self._end)
        self._update, self._sent_count = -1, None

    def _bar_end(self, open_ms: int) -> int:
        return bar_end(self._stream.interval, open_ms, self._stream.offset_ms)

    def until(self, until_ms: int) -> Iterator[Timed]:
        while self._next_ms <= until_ms:
            time_ms = self._next_ms
            if time_ms >= self._end:
                bar = self._market.running.at(self._open, self._end, self._end - 1)
                yield time_ms, 2, self._event(bar, time_ms, closed=True)
                self._begin(self._end)
            elif time_ms >= self._market.first_trade_ms and self._market.halts.end_of(time_ms) is None:
                bar = self._market.running.at(self._open, self._end, time_ms)
                if bar.count != self._sent_count:
                    self._sent_count = bar.count
                    yield time_ms, 2, self._event(bar, time_ms, closed=False)
            self._next_ms = self._advance(time_ms)

    def _final_ms(self, open_ms: int) -> int:
        end = self._bar_end(open_ms)
        delay_ms = 1 + hash_one(self._market.delay_key, end) % 50
        # In a halt nothing is said: the bar that it cuts short is closed when the market opens again.
        return (self._market.halts.end_of(end + delay_ms) or end) + delay_ms

    def _opening_ms(self) -> int:
        return self._open + 2 + hash_one(self._market.delay_key, self._open) % 50

    def _advance(self, after_ms: int) -> int:
        """The next time at which this bar may speak."""
        if after_ms >= self._end:
            return self._final_ms(self._open)
        # Steps of the pace and a little more, with a jitter below that little: never faster than the pace.
        step = self._pace_ms + 50
        opening = self._opening_ms()
        self._update = max(self._update + 1, (after_ms - opening - 50) // step)
        while True:
            jitter = hash_one(self._market.delay_key, self._open + self._update) % 50 if self._update else 0
            due = opening + self._update * step + jitter
            if due > after_ms:
                break
            self._update += 1
        return due if due < self._end else self._final_ms(self._open)

    def _event(self, bar: Bar, time_ms: int, *, closed: bool) -> dict[str, Any]:
        market = self._market
        price, quantity, quote = market.price, market.quantity, market.quote
        return {
            "e": "kline",
            "E": time_ms,
            "s": market.symbol,
            "k": {
                "t": bar.open_ms,
                "T": bar.end_ms - 1,
                "s": market.symbol,
                "i": self._stream.interval,
                "f": market.trade_numbering.shown(bar.first_id),
                "L": market.trade_numbering.shown(bar.last_id),
                "o": price(bar.open),
                "c": price(bar.close),
                "h": price(bar.high),
                "l": price(bar.low),
                "v": quantity(bar.base),
                "n": bar.count,
                "x": closed,
                "q": quote(bar.quote),
                "V": quantity(bar.buy_base),
                "Q": quote(bar.buy_quote),
                "B": "0",
            },
        }
