"""One symbol of the world: its trades, bars and book, from one seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulator.world.bars import BarHistory, RunningBars
from simulator.world.book import OrderBook
from simulator.world.halts import Halts
from simulator.world.hashing import hash_key
from simulator.world.instruments import instrument
from simulator.world.numbering import TradeNumbering, UpdateNumbering
from simulator.world.price_path import MINUTE_MS, SLOT_MS
from simulator.world.trade_tape import TradeTape


class Market:
    """A symbol's market; the same arguments always give the same one.

    Args:
        listed_ms: when it is newly listed; None: years ago. It opens with its first trade.
        trade_restarts_ms, update_restarts_ms: when ids begin again at 1, ascending.

    Attributes:
        first_trade_ms: time of the first trade of a new listing; 0 otherwise.
        history: bars for REST, used by one thread at a time.
        running: open bars for the live feed.
    """

    def __init__(
        self,
        symbol: str,
        seed: int,
        start_ms: int,
        rate: float,
        halts: Halts | None = None,
        *,
        listed_ms: int | None = None,
        trade_restarts_ms: Sequence[int] = (),
        update_restarts_ms: Sequence[int] = (),
    ) -> None:
        self.halts = halts or Halts()
        self.instrument = instrument(symbol)
        self.first_trade_ms = 0
        if listed_ms is not None:
            # As short as possible: the book steps through it from its begin.
            before_ms = min(start_ms, listed_ms - listed_ms % MINUTE_MS) - 10 * SLOT_MS
            unopened = self.halts.with_span(before_ms, listed_ms)
            self.first_trade_ms = _first_trade_ms(
                TradeTape(self.instrument, seed, start_ms, rate, unopened, listed_ms=listed_ms), listed_ms
            )
            # Rounded down to the book's step: a span's end is rounded up, which would omit the first trade.
            self.halts = unopened.with_span(before_ms, self.first_trade_ms - self.first_trade_ms % SLOT_MS)
        self.symbol = symbol
        self.price = wire_decimals(self.instrument.price_decimals)
        self.quantity = wire_decimals(self.instrument.quantity_decimals)
        self.quote = wire_decimals(self.instrument.price_decimals + self.instrument.quantity_decimals)
        opened_ms = self.first_trade_ms or None
        self.tape = TradeTape(self.instrument, seed, start_ms, rate, self.halts, listed_ms=opened_ms)
        self.trade_numbering = TradeNumbering(self.tape, trade_restarts_ms)
        self.update_numbering = UpdateNumbering(update_restarts_ms)
        self.book = OrderBook(self.instrument, seed, self.tape.path, self.halts)
        self.history = BarHistory(self.tape)
        self.running = RunningBars(self.tape)
        key = self.instrument.symbol
        self.delay_key = hash_key(seed, key, "kline delays")
        # Aggregates are one trade each, under a numbering of their own (BINANCE_SPOT.md §4.3).
        self.aggregate_offset = 1 + hash_key(seed, key, "aggregate ids") % (self.tape.first_id // 2 + 1)

    def opened(self, time_ms: int) -> bool:
        """Whether it has had a trade by a time."""
        return time_ms >= self.first_trade_ms

    def aggregate_id(self, tape_id: int) -> int:
        """Id of a trade's aggregate; after a restart both begin at 1."""
        shown = self.trade_numbering.shown(tape_id)
        return shown - self.aggregate_offset if shown == tape_id else shown


def _first_trade_ms(tape: TradeTape, listed_ms: int) -> int:
    minute = listed_ms // MINUTE_MS
    while not len(tape.minute(minute)):
        minute += 1
    return int(tape.minute(minute).times_ms[0])


def exact_decimals(decimals: int) -> Callable[[int], str]:
    """Writes counts of 10**-decimals with so many places."""
    if decimals == 0:
        return str
    scale = 10**decimals
    return lambda value: f"{value // scale}.{value % scale:0{decimals}d}"


def wire_decimals(decimals: int) -> Callable[[int], str]:
    """Writes counts of 10**-decimals as the wire's decimal strings, of 8 places (BINANCE_SPOT.md §4.1)."""
    padding = "0" * (8 - decimals)
    if decimals == 0:
        return lambda value: f"{value}.{padding}"
    scale = 10**decimals
    return lambda value: f"{value // scale}.{value % scale:0{decimals}d}{padding}"
