"""A seeded world: the markets of several symbols, and their streams in some protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from simulator.protocols.port import Dialect, Face, Surroundings
from simulator.world.feed import Source, WorldFeed
from simulator.world.halts import Halts
from simulator.world.market import Market
from simulator.world.numbering import numbering_at


class World(ABC):
    """Markets of several symbols from one seed.

    Args:
        clock_start_ms: begin of the streams, `start_ms` or later: a later part of the same world.
        halts: by symbol, when it is in BREAK.
        listed_ms: by symbol, when it is listed, if that is not years ago.
        trade_restarts_ms, update_restarts_ms: by symbol, when ids begin again at 1.

    Attributes:
        dialect: how faults and the log read its streams.
        batch_ms: span of time whose trades come as one event at its end; 1: each comes at once.
        numbers_books: clients see the update ids of books, which then can begin again.
        feed: the streams of the markets.
        markets: by symbol.
        statuses: a status by symbol that is not the market's own.
    """

    dialect: Dialect
    numbers_books = True
    batch_ms = 1

    def __init__(
        self,
        symbols: Sequence[str],
        seed: int,
        start_ms: int,
        rate: float,
        *,
        clock_start_ms: int | None = None,
        halts: Mapping[str, Halts] | None = None,
        listed_ms: Mapping[str, int] | None = None,
        trade_restarts_ms: Mapping[str, Sequence[int]] | None = None,
        update_restarts_ms: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self._trade_restarts_ms = trade_restarts_ms or {}
        self._update_restarts_ms = update_restarts_ms or {}
        self.seed = seed
        self.start_ms = start_ms
        self.clock_start_ms = start_ms if clock_start_ms is None else max(start_ms, clock_start_ms)
        self.markets = {
            symbol: Market(
                symbol,
                seed,
                start_ms,
                rate,
                (halts or {}).get(symbol),
                listed_ms=(listed_ms or {}).get(symbol),
                trade_restarts_ms=self._trade_restarts_ms.get(symbol, ()),
                update_restarts_ms=self._update_restarts_ms.get(symbol, ()),
            )
            for symbol in symbols
        }
        self.feed = WorldFeed(self.open_source, self.clock_start_ms)
        self.statuses: dict[str, str] = {}

    @property
    def symbols(self) -> Sequence[str]:
        return tuple(self.markets)

    def numbering(self, record: str, symbol: str, time_ms: int) -> int:
        """How often the ids of trades ("trade") or of the book ("depth") have begun anew up to a time."""
        if record == "depth" and not self.numbers_books:
            return 0
        restarts = self._trade_restarts_ms if record == "trade" else self._update_restarts_ms
        return numbering_at(restarts.get(symbol, ()), time_ms)

    @abstractmethod
    def face(self, surroundings: Surroundings) -> Face:
        """The world as clients see it."""

    @abstractmethod
    def open_source(self, name: str, after_ms: int) -> Source | None:
        """The source of a stream from a time on; None for names that stay silent."""
