"""Books that are computed before a run are those that it would have computed."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: books of this one stay as they are.
_SHARED = """
from simulator.protocols.binance import feed
from simulator.world import book
from simulator.world.book import OrderBook, changes, slot_at
from simulator.world.instruments import instrument
from simulator.world.price_path import PricePath
from tests.simulation import markets
from tests.simulation.draws import schedule_of

def made(schedule, symbol):
    traded, seed = instrument(symbol), schedule.market_seed
    return OrderBook(traded, seed, PricePath(seed, symbol, traded.base_price_ticks))

schedule = schedule_of(5)
symbol = schedule.symbols[0]
first = slot_at(schedule.start_ms)
own = [made(schedule, symbol).state(slot) for slot in range(first, first + 20)]
markets.share()
markets.prepare(schedule)
book = made(schedule, symbol)
known = len(book._kept)
shared = [book.state(slot) for slot in range(first, first + 20)]
assert known > 100 and len(book._kept) == known
for (old, new), (known_old, known_new) in zip(zip(own, own[1:]), zip(shared, shared[1:])):
    assert known_new.bids.levels() == new.bids.levels() and known_new.asks.levels() == new.asks.levels()
    assert feed.changes(known_old.bids, known_new.bids) == changes(old.bids, new.bids)
    assert feed.changes(known_old.asks, known_new.asks) == changes(old.asks, new.asks)
"""


def test_prepared_books_are_those_of_a_run_of_their_own() -> None:
    subprocess.run((sys.executable, "-c", _SHARED), check=True)
