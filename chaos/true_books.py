"""Published books against the simulated market's own, at the same instant.

Books that a stream brings whole have no update ids by which a replay could be held to the exchange: here the
market itself is asked, which is a function of seed, start and time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from chaos.differences import Differences
from chaos.market import Market
from producers.exchanges.registry import EXCHANGES
from simulator.faults.market import halts_by_symbol, listed_by_symbol
from simulator.faults.script import parse_script
from simulator.protocols.registry import EXCHANGES as SPOKEN
from simulator.world.book import Level, slot_at
from simulator.world.market import exact_decimals

_LEVELS: Final = 20
Levels = list[tuple[Decimal, Decimal]]


class TrueBooks:
    """The books of a seeded market.

    Args:
        faults: of the scenario: halts and listings change the market.
    """

    def __init__(self, market: Market, faults: Sequence[str]) -> None:
        spoken = SPOKEN[market.exchange]
        script = parse_script(None, faults, spoken.dialect.scope).faults
        # A wrong clock stamps the messages of some exchanges.
        self._late_ms = (
            0,
            *(round(each.options["offset_ms"]) for each in script if each.kind == "clock_skew"),
        )
        self._depth = EXCHANGES[market.exchange].promises.book.depth or _LEVELS
        self._markets = spoken.world(
            market.symbols,
            market.seed,
            market.start_ms,
            market.rate,
            halts=halts_by_symbol(script, market.seed, market.start_ms, market.symbols),
            listed_ms=listed_by_symbol(script, market.start_ms, market.symbols),
        ).markets

    def at(self, symbol: str, time_ms: int) -> tuple[Levels, Levels]:
        """Bids and asks, best first."""
        market = self._markets[symbol]
        state, price = market.book.state(slot_at(time_ms)), exact_decimals(market.instrument.price_decimals)

        def levels(side: Sequence[Level]) -> Levels:
            return [(Decimal(price(ticks)), Decimal(market.quantity(lots))) for ticks, lots in side]

        return levels(state.bids.levels(self._depth)), levels(state.asks.levels(self._depth))

    def compare(self, books: Sequence[Mapping[str, Any]]) -> Differences:
        """Hold published books that call themselves synced to the market's."""
        differences = Differences()
        for book in books:
            ours = tuple(
                [(Decimal(price), Decimal(quantity)) for price, quantity in book[side][: self._depth]]
                for side in ("bids", "asks")
            )
            times_ms = [book["event_time_ms"] - late_ms for late_ms in self._late_ms]
            if all(ours != self.at(book["symbol"], time_ms) for time_ms in times_ms):
                example = f"{book['symbol']} at {book['event_time_ms']} is not the exchange's"
                differences.add("market.book", "different", example)
        return differences
