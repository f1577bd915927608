"""Events of a kline stream: bars that open, change and close, also around halts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from simulator.world.bars import Bar
from simulator.world.calendar import bar_end, bar_open
from simulator.world.feed import Timed
from simulator.world.hashing import hash_one
from simulator.world.market import Market


class KlineSource:
    """Kline events: when a bar opens, at a pace while it changes, and once it has closed.

    A bar within a halt does not exist; one that a halt cuts short is closed when the market opens again.

    Source: BINANCE_SPOT.md §4.5, §15.7.

    Args:
        offset_ms: the time zone's offset from UTC.
        make: an event's payload from the bar, the time and whether it is closed; None: nothing is said.
    """

    def __init__(
        self,
        market: Market,
        interval: str,
        offset_ms: int,
        after_ms: int,
        make: Callable[[Bar, int, bool], Mapping[str, Any] | None],
    ) -> None:
        self._market = market
        self._interval = interval
        self._offset_ms = offset_ms
        self._make = make
        self._pace_ms = 1_000 if interval == "1s" else 2_000
        self._update = -1
        self._sent_count: int | None = None
        self._begin(self._first_open(after_ms))
        self._next_ms = self._advance(after_ms)

    def _first_open(self, after_ms: int) -> int:
        """The bar of a time, or the last before it if that one's final is still to come."""
        opened = bar_open(self._interval, after_ms, self._offset_ms)
        previous = opened
        while True:
            end, previous = previous, bar_open(self._interval, previous - 1, self._offset_ms)
            if end <= self._market.first_trade_ms:
                return opened  # nothing was before the listing
            if not self._market.halts.cover(previous, end):
                break
        return previous if self._final_ms(previous) > after_ms else opened

    def _begin(self, open_ms: int) -> None:
        """Continue with the bar of an open time, or the first after it that is not within a halt."""
        self._open, self._end = open_ms, self._bar_end(open_ms)
        while self._end <= self._market.first_trade_ms or self._market.halts.cover(self._open, self._end):
            self._open, self._end = self._end, self._bar_end(self._end)
        self._update, self._sent_count = -1, None

    def _bar_end(self, open_ms: int) -> int:
        return bar_end(self._interval, open_ms, self._offset_ms)

    def until(self, until_ms: int) -> Iterator[Timed]:
        while self._next_ms <= until_ms:
            time_ms = self._next_ms
            if time_ms >= self._end:
                bar = self._market.running.at(self._open, self._end, self._end - 1)
                payload = self._make(bar, time_ms, True)
                if payload is not None:
                    yield time_ms, 2, payload
                self._begin(self._end)
            elif time_ms >= self._market.first_trade_ms and self._market.halts.end_of(time_ms) is None:
                bar = self._market.running.at(self._open, self._end, time_ms)
                if bar.count != self._sent_count:
                    self._sent_count = bar.count
                    payload = self._make(bar, time_ms, False)
                    if payload is not None:
                        yield time_ms, 2, payload
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
