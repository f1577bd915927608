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
from simulator.world.book import BookState, changes, published_ms, slot_at, update_id
from simulator.world.kline_feed import KlineSource, Timed
from simulator.world.market import Market
from simulator.world.price_path import MINUTE_MS

# At most so much world time in one go: what a busy market fills of the caller's queues stays small.
_STEP_MS: Final = 500


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
            return KlineSource(market, stream, after_ms)
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
            event["a"] = market.aggregate_id(trade_id)
        else:
            event["t"] = market.trade_numbering.shown(trade_id)
        event["p"] = market.price(self._prices[index])
        event["q"] = market.quantity(self._lots[index])
        if self._aggregate:
            event["f"] = event["l"] = market.trade_numbering.shown(trade_id)
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
        self._state: BookState = market.book.state(slot)
        self._sent_id = self._state.update_id
        self._sent_top: object = None

    def until(self, until_ms: int) -> Iterator[Timed]:
        while published_ms(self._slot + self._stream.pace_slots) <= until_ms:
            self._slot += self._stream.pace_slots
            if self._market.halts.end_of(published_ms(self._slot)) is not None:
                continue
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
        shown_first, shown_last = self._market.update_numbering.span(first_id, self._sent_id)
        return {
            "e": "depthUpdate",
            "E": published_ms(self._slot),
            "s": self._market.symbol,
            "U": shown_first,
            "u": shown_last,
            "b": self._levels(sorted(bids.items(), reverse=True)),
            "a": self._levels(sorted(asks.items())),
        }

    def _partial(self) -> dict[str, Any] | None:
        state = self._market.book.state(self._slot)
        count = self._stream.levels
        top = (state.bids.levels(count), state.asks.levels(count))
        if top == self._sent_top:
            return None
        self._sent_top = top
        return {
            "lastUpdateId": self._market.update_numbering.shown(state.update_id),
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
            "u": self._market.update_numbering.shown(update_id(self._slot)),
            "s": self._market.symbol,
            "b": price(bid[0]),
            "B": quantity(bid[1]),
            "a": price(ask[0]),
            "A": quantity(ask[1]),
        }

    def _levels(self, levels: Any) -> list[list[str]]:
        price, quantity = self._market.price, self._market.quantity
        return [[price(ticks), quantity(lots)] for ticks, lots in levels]
