"""The events of the world's streams in time order, whatever the protocol.

Every source knows when its next event is due; it begins when its stream is first wanted and ends when it no
longer is. No event is skipped, however late the caller asks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

from simulator.outgoing import Outgoing
from simulator.world.book import BookState, published_ms, slot_at
from simulator.world.market import Market
from simulator.world.price_path import MINUTE_MS
from simulator.world.trade_tape import Trades

# At most so much world time at once: a busy market must not fill the caller's queues.
_STEP_MS: Final = 500
Timed = tuple[int, int, Mapping[str, Any]]  # time, rank among equals, payload


class Source(Protocol):
    """The events of one stream."""

    def until(self, until_ms: int) -> Iterator[Timed]:
        """The next ones up to a time, in time order."""


class WorldFeed:
    """Everything that is streamed of a world; starts at `start_ms`.

    Args:
        open_source: makes the source of a stream that begins after a time; None: it stays silent.
    """

    def __init__(self, open_source: Callable[[str, int], Source | None], start_ms: int) -> None:
        self._open_source = open_source
        self._sources: dict[str, Source | None] = {}
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
        # By name too, so that the order of events of one instant is reproducible.
        events.sort(key=lambda event: event[:3])
        return [Outgoing(name, payload, time_ms=time_ms) for time_ms, _, name, payload in events]

    def _begin_and_end(self, wanted: frozenset[str]) -> None:
        for name in self._sources.keys() - wanted:
            del self._sources[name]
        for name in wanted - self._sources.keys():
            self._sources[name] = self._open_source(name, self.emitted_until_ms)
        self._wanted = wanted


class Trade(NamedTuple):
    """One trade: price in ticks, quantity in lots, the tape's id."""

    tape_id: int
    time_ms: int
    price_ticks: int
    lots: int
    buyer_is_maker: bool


def trades_of(columns: Trades) -> list[Trade]:
    """Columns of trades as single ones."""
    of_each = (columns.times_ms, columns.price_ticks, columns.lots, columns.buyer_is_maker)
    rows = zip(*(column.tolist() for column in of_each), strict=True)
    return [Trade(columns.first_id + index, *row) for index, row in enumerate(rows)]


def newest_trades(market: Market, time_ms: int, most: int) -> Trades:
    """The newest trades of a market at a time, of those with the numbering of then."""
    first_id = max(market.tape.id_after(time_ms) - most, market.trade_numbering.shift(time_ms) + 1)
    return market.tape.by_id(first_id, most, time_ms)


class TradeSource:
    """The trades of a market.

    Args:
        make: an event's payload from its trades, which are neighbours.
        batch_ms: trades within the same span of so many ms are one event; 0: each is one.
        at_end: an event is due at the end of its batch, not with its last trade.
    """

    def __init__(
        self,
        market: Market,
        after_ms: int,
        make: Callable[[list[Trade]], Mapping[str, Any]],
        *,
        batch_ms: int = 0,
        at_end: bool = False,
    ) -> None:
        self._market = market
        self._make = make
        self._batch_ms = batch_ms
        self._at_end = at_end
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
            while self._next < len(self._times):
                end, due_ms = self._batch(self._next)
                if due_ms > until_ms:
                    return
                yield due_ms, 1, self._make([self._trade(index) for index in range(self._next, end)])
                self._next = end
            if (self._minute + 1) * MINUTE_MS > until_ms:
                return
            self._load(self._minute + 1)

    def _batch(self, first: int) -> tuple[int, int]:
        """End of the batch that begins with a trade, and when it is due. Minutes are whole batches."""
        if not self._batch_ms:
            return first + 1, self._times[first]
        beyond_ms = (self._times[first] // self._batch_ms + 1) * self._batch_ms
        end = bisect_right(self._times, beyond_ms - 1, first)
        # Ids of one event are contiguous.
        restart = self._market.trade_numbering.next_restart(self._first_id + first)
        if restart is not None:
            end = min(end, restart - self._first_id)
        return end, beyond_ms if self._at_end else self._times[end - 1]

    def _trade(self, index: int) -> Trade:
        return Trade(
            self._first_id + index,
            self._times[index],
            self._prices[index],
            self._lots[index],
            self._makers[index],
        )


class SlotSource(ABC):
    """A stream that speaks after slots of the book; silent in halts.

    Args:
        pace_slots: it speaks after so many slots of 100 ms.
    """

    def __init__(self, market: Market, after_ms: int, pace_slots: int = 1) -> None:
        self.market = market
        self._pace_slots = pace_slots
        slot = slot_at(after_ms)
        self.first_state: BookState = market.book.state(slot)
        # Streams of 1000 ms have events at whole seconds.
        self.slot = slot - (slot + 1) % pace_slots

    def until(self, until_ms: int) -> Iterator[Timed]:
        while published_ms(self.slot + self._pace_slots) <= until_ms:
            self.slot += self._pace_slots
            if self.market.halts.end_of(published_ms(self.slot)) is not None:
                continue
            payload = self.payload()
            if payload is not None:
                yield published_ms(self.slot), 0, payload

    @abstractmethod
    def payload(self) -> Mapping[str, Any] | None:
        """The event after `slot`; None: there is none."""
