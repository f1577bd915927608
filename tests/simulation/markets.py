"""Order books of a few markets, computed once a worker and not once a run.

A book is a pure function of its market's seed, its symbol and the time, and takes a tenth of a run. So runs
share few markets, and a worker computes the books that a run will show before it forks.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from simulator.protocols.binance import feed
from simulator.world import book
from simulator.world.book import BookState, OrderBook, Side, changes, slot_at
from simulator.world.instruments import instrument
from simulator.world.price_path import PricePath
from tests.simulation.schedule import Schedule

# Most runs show no more after their market's usual end; what is missing is computed there.
_BEFORE_MS: Final = 2_000
_AFTER_MS: Final = 6_000

_books: Final[dict[tuple[int, int], OrderedDict[int, BookState]]] = {}
_changes: Final[dict[tuple[int, int], dict[int, int]]] = {}


def share() -> None:
    """Once a Python process: let all books of a market keep their states in one place."""
    begin = OrderBook.__init__

    def beginning(self: OrderBook, *arguments: object) -> None:
        begin(self, *arguments)  # type: ignore[arg-type]
        self._kept = _books.setdefault((self._level_key, self._quantity_key), OrderedDict())

    OrderBook.__init__ = beginning  # type: ignore[assignment, method-assign]
    setattr(book, "_KEPT_STATES", 10**9)  # noqa: B010
    setattr(feed, "changes", _known_changes)  # noqa: B010


def _known_changes(old: Side, new: Side) -> dict[int, int]:
    # Sides of states that are kept for good, so that nothing else can have their ids.
    return _changes.get((id(old), id(new))) or changes(old, new)


def prepare(schedule: Schedule) -> None:
    """Compute the books of a schedule's market, as far as no run before has had them."""
    begin_ms = schedule.start_ms - _BEFORE_MS
    end_ms = schedule.start_ms + round(schedule.seconds * 1000) + _AFTER_MS
    for symbol in schedule.symbols:
        traded, seed = instrument(symbol), schedule.market_seed
        book_of = OrderBook(traded, seed, PricePath(seed, symbol, traded.base_price_ticks))
        before = book_of.state(slot_at(begin_ms))
        for slot in range(before.slot + 1, slot_at(end_ms) + 1):
            after = book_of.state(slot)
            for old, new in ((before.bids, after.bids), (before.asks, after.asks)):
                if (id(old), id(new)) not in _changes:
                    _changes[id(old), id(new)] = changes(old, new)
            before = after
