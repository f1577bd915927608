"""One symbol of the world: its trades, bars and book, from one seed."""

from __future__ import annotations

from simulator.protocol.decimals import Decimals
from simulator.world.bars import BarHistory, RunningBars
from simulator.world.book import OrderBook
from simulator.world.halts import Halts
from simulator.world.hashing import hash_key
from simulator.world.instruments import instrument
from simulator.world.trade_tape import TradeTape


class Market:
    """A symbol's market; the same (symbol, seed, start, rate, halts) always gives the same one.

    Attributes:
        history: bars for REST, used by one thread at a time.
        running: open bars for the live feed.
    """

    def __init__(
        self, symbol: str, seed: int, start_ms: int, rate: float, halts: Halts | None = None
    ) -> None:
        self.halts = halts or Halts()
        self.instrument = instrument(symbol)
        self.symbol = symbol
        self.price = Decimals(self.instrument.price_decimals)
        self.quantity = Decimals(self.instrument.quantity_decimals)
        self.quote = Decimals(self.instrument.price_decimals + self.instrument.quantity_decimals)
        self.tape = TradeTape(self.instrument, seed, start_ms, rate, self.halts)
        self.book = OrderBook(self.instrument, seed, self.tape.path, self.halts)
        self.history = BarHistory(self.tape)
        self.running = RunningBars(self.tape)
        self.delay_key = hash_key(seed, symbol, "kline delays")
        # Aggregates are one trade each, under a numbering of their own (BINANCE_SPOT.md §4.3).
        self.aggregate_offset = 1 + hash_key(seed, symbol, "aggregate ids") % (self.tape.first_id // 2)
