"""The world's events in time order: what each stream has to say up to an instant.

Every source knows when its next event is due; a source begins when its stream is first wanted and ends when
it no longer is. Nothing is skipped, however late the caller asks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from simulator.protocol.envelopes import Outgoing
from simulator.protocol.stream_names import StreamName, parse_stream_name
from simulator.world.bars import Bar
from simulator.world.book import BookState, changes, published_ms, slot_at, update_id
from simulator.world.calendar import bar_end, bar_open
from simulator.world.hashing import hash_one
from simulator.world.market import Market
from simulator.world.price_path import MINUTE_MS

# At most so much world time in one go: what a busy market fills of the caller's queues stays small.
_STEP_MS: Final = 500

Timed = tuple[int, int, dict[str, Any]]  # time, rank among equals, payload


class _Source(Protocol):
    def until(self, until_ms: int) -> Iterator[Timed]: ...


class WorldFeed:
    """Everything that is streamed of a world; starts at `start_ms`."""

    def __init__(self, markets: Mapping[str, Market], start_ms: int) -> None:
        self._markets = markets
        self._sources: dict[str, _Source | None] = {}
        self._wanted: frozenset[str] = frozenset()
        self.emitted_until_ms = start_ms

    def due(self, until_ms: int, wanted: frozenset[str]) -> list[Outgoing]:
        """The next events up to `until_ms`; ask again while `emitted_until_ms` is before it."""
        if wanted is not self._wanted:
            self._begin_and_end(wanted)
        until_ms = min(until_ms, self.emitted_until_ms + _STEP_MS)
        events = [
            (time_ms, rank, name, payload)
            for name, source in self._sources.items()
            if source is not None
            for time_ms, rank, payload in source.until(until_ms)
        ]
        self.emitted_until_ms = max(until_ms, self.emitted_until_ms)
        # By name too: which of two events of one instant comes first must not be by chance.
        events.sort(key=lambda event: event[:3])
        return [Outgoing(name, payload, time_ms=time_ms) for time_ms, _, name, payload in events]

    def _begin_and_end(self, wanted: frozenset[str]) -> None:
        for name in self._sources.keys() - wanted:
            del self._sources[name]
        for name in wanted - self._sources.keys():
            stream = parse_stream_name(name)
            market = self._markets.get(stream.symbol) if stream else None
            self._sources[name] = (
                _source(market, stream, self.emitted_until_ms) if market and stream else None
            )
        self._wanted = wanted


def _source(market: Market, stream: StreamName, after_ms: int) -> _Source:
    match stream.kind:
        case "trade" | "aggTrade":
            return _TradeSource(market, after_ms, aggregate=stream.kind == "aggTrade")
        case "kline":
            return _KlineSource(market, stream, after_ms)
        case _:
            return _BookSource(market, stream, after_ms)


class _TradeSource:
    def __init__(self, market: Market, after_ms: int, *, aggregate: bool) -> None:
        self._market = market
        self._aggregate = aggregate
        self._load(after_ms // MINUTE_MS)
        self._next = bisect_right(self._times, after_ms)

    def _load(self, minute: int) -> None:
        trades = self._market.tape.minute(minute)
        self._minute = minute
        self._first_id = trades.first_id
        self._times: list[int] = trades.times_ms.tolist()
        self._prices: list[int] = trades.price_ticks.tolist()
        self._lots: list[int] = trades.lots.tolist()
        self._makers: list[bool] = trades.buyer_is_maker.tolist()
        self._next = 0

    def until(self, until_ms: int) -> Iterator[Timed]:
        while True:
            end = bisect_right(self._times, until_ms, self._next)
            for index in range(self._next, end):
                yield self._times[index], 1, self._event(index)
            self._next = end
            if end < len(self._times) or (self._minute + 1) * MINUTE_MS > until_ms:
                return
            self._load(self._minute + 1)

    def _event(self, index: int) -> dict[str, Any]:
        market, time_ms, trade_id = self._market, self._times[index], self._first_id + index
        event: dict[str, Any] = {
            "e": "aggTrade" if self._aggregate else "trade",
            # The event is made in the millisecond of the trade: at any instant stream and REST agree.
            "E": time_ms,
            "s": market.symbol,
        }
        if self._aggregate:
            event["a"] = trade_id - market.aggregate_offset
        else:
            event["t"] = trade_id
        event["p"] = market.price(self._prices[index])
        event["q"] = market.quantity(self._lots[index])
        if self._aggregate:
            event["f"] = event["l"] = trade_id
        event["T"] = time_ms
        event["m"] = self._makers[index]
        event["M"] = True
        return event


class _BookSource:
    def __init__(self, market: Market, stream: StreamName, after_ms: int) -> None:
        self._market = market
        self._stream = stream
        slot = slot_at(after_ms)
        # Streams of 1000 ms speak at whole seconds.
        self._slot = slot - (slot + 1) % stream.pace_slots
        self._sent_id = update_id(slot)
        self._state: BookState = market.book.state(slot)
        self._sent_top: object = None

    def until(self, until_ms: int) -> Iterator[Timed]:
        while published_ms(self._slot + self._stream.pace_slots) <= until_ms:
            self._slot += self._stream.pace_slots
            payload = self._payload()
            if payload is not None:
                yield published_ms(self._slot), 0, payload

    def _payload(self) -> dict[str, Any] | None:
        match self._stream.kind:
            case "bookTicker":
                return self._ticker()
            case "partial":
                return self._partial()
            case _:
                return self._diff()

    def _diff(self) -> dict[str, Any] | None:
        # Every level touched since the last diff, with what it holds now: also one that changed and changed
        # back, since a snapshot taken in between shows the change.
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        state = self._state
        for slot in range(state.slot + 1, self._slot + 1):
            later = self._market.book.state(slot)
            bids |= changes(state.bids, later.bids)
            asks |= changes(state.asks, later.asks)
            state = later
        self._state = state
        if not bids and not asks:
            return None
        first_id, self._sent_id = self._sent_id + 1, state.update_id
        return {
            "e": "depthUpdate",
            "E": published_ms(self._slot),
            "s": self._market.symbol,
            "U": first_id,
            "u": self._sent_id,
            "b": self._levels(sorted(bids.items(), reverse=True)),
            "a": self._levels(sorted(asks.items())),
        }

    def _partial(self) -> dict[str, Any] | None:
        state = self._market.book.state(self._slot)
        count = self._stream.levels
        top = (tuple(state.bids.items())[:count], tuple(state.asks.items())[:count])
        if top == self._sent_top:
            return None
        self._sent_top = top
        return {
            "lastUpdateId": state.update_id,
            "bids": self._levels(top[0]),
            "asks": self._levels(top[1]),
        }

    def _ticker(self) -> dict[str, Any] | None:
        bid, ask = self._market.book.top(self._slot)
        if (bid, ask) == self._sent_top:
            return None
        self._sent_top = (bid, ask)
        price, quantity = self._market.price, self._market.quantity
        return {
            "u": update_id(self._slot),
            "s": self._market.symbol,
            "b": price(bid[0]),
            "B": quantity(bid[1]),
            "a": price(ask[0]),
            "A": quantity(ask[1]),
        }

    def _levels(self, levels: Any) -> list[list[str]]:
        price, quantity = self._market.price, self._market.quantity
        return [[price(ticks), quantity(lots)] for ticks, lots in levels]


class _KlineSource:
    """Kline events: when a bar opens, on change and at a pace, and once it has closed.

    Source: BINANCE_SPOT.md §4.5, §15.7.
    """

    def __init__(self, market: Market, stream: StreamName, after_ms: int) -> None:
        self._market = market
        self._stream = stream
        self._pace_ms = 1_000 if stream.interval == "1s" else 2_000
        self._open = bar_open(stream.interval, after_ms, stream.offset_ms)
        previous = bar_open(stream.interval, self._open - 1, stream.offset_ms)
        if self._final_ms(previous) > after_ms:
            self._open = previous
        self._end = bar_end(stream.interval, self._open, stream.offset_ms)
        self._update = -1
        self._sent_count: int | None = None
        self._next_ms = self._advance(after_ms)

    def until(self, until_ms: int) -> Iterator[Timed]:
        while self._next_ms <= until_ms:
            time_ms = self._next_ms
            if time_ms >= self._end:
                bar = self._market.running.at(self._open, self._end, self._end - 1)
                yield time_ms, 2, self._event(bar, time_ms, closed=True)
                self._open, self._end = (
                    self._end,
                    bar_end(self._stream.interval, self._end, self._stream.offset_ms),
                )
                self._update, self._sent_count = -1, None
            else:
                bar = self._market.running.at(self._open, self._end, time_ms)
                if bar.count != self._sent_count:
                    self._sent_count = bar.count
                    yield time_ms, 2, self._event(bar, time_ms, closed=False)
            self._next_ms = self._advance(time_ms)

    def _final_ms(self, open_ms: int) -> int:
        end = bar_end(self._stream.interval, open_ms, self._stream.offset_ms)
        return end + 1 + hash_one(self._market.delay_key, end) % 50

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
                "f": bar.first_id,
                "L": bar.last_id,
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
