"""What a producer published of a simulated exchange, beside the truth about it.

Runs are made in virtual time, each in a process of its own (`worker.py`), and come back as plain data. The
market is a pure function of its seed and its begin, so that whoever looks at a run makes it anew. The
way over real sockets is that of `tests/integration`: whole runs in `test_run.py` (Binance) and
`test_run_exchanges.py`, faults that a connection sees in `test_simulator_faults.py` and
`test_simulator_exchanges.py`. The simulated network is held beside the real one by
`tests/unit/simulation/test_real_network.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from shared.dead_letters import DeadLetter
from shared.topics import BOOK, DEPTH, LEDGER, METRICS, QUOTES, TRADES, klines_topic
from simulator.exchange import KlineRow, Span, TradeRow
from simulator.faults.market import halts_by_symbol
from simulator.faults.script import Fault, parse_script
from simulator.protocols.registry import EXCHANGES as SPOKEN
from simulator.world.book import slot_at
from simulator.world.market import Market, exact_decimals
from simulator.world.rows import kline_row, trade_rows
from simulator.world.world import World

# Asked for under one name and sent under another, by the name of the exchange's market.
ALIASES: Final[Mapping[str, str]] = {"BTC-USD": "BTC-USDC"}
# Two pairs of each: a busy one, and one with seconds without a trade.
SYMBOLS: Final[dict[str, tuple[str, str]]] = {
    "binance": ("BTCUSDC", "XRPUSDC"),
    "kraken": ("BTC/USD", "XRP/USD"),
    "coinbase": ("BTC-USD", "XRP-USD"),
}
# Of the market, and its events in a second beside those of an ordinary day.
_SEED: Final = 7
_RATE: Final = 2.0


def faults_of(exchange: str, flags: Sequence[str]) -> Sequence[Fault]:
    """Faults of the simulator, which its command line takes as `flags`."""
    return parse_script(None, flags, SPOKEN[exchange].dialect.scope).faults


@cache
def market_of(exchange: str, flags: tuple[str, ...], start_ms: int) -> World:
    """The market, equal for equal arguments."""
    symbols = SYMBOLS[exchange]
    halts = halts_by_symbol(faults_of(exchange, flags), 1, start_ms, symbols)
    if flags and not any(halts.values()):
        return market_of(exchange, (), start_ms)
    return SPOKEN[exchange].world(symbols, _SEED, start_ms, _RATE, halts=halts)


@dataclass(frozen=True)
class Run:
    """What a producer published of a simulated exchange: plain data; and the truth, which is made anew.

    Attributes:
        flags: faults of the simulator.
        start_ms: the market's first instant.
        asked_ms: its time when it stopped.
        records: by topic and key, the values in the order in which they were published.
        hits: by kind, how often its faults have struck.
        reconnects, rollovers: of its connections until then.
        asked: how often it asked, as the simulator counts.
        markets: by symbol as it was asked for, the market's own.
        pages: of true trades, as far as they were asked for.
    """

    exchange: str
    flags: tuple[str, ...]
    start_ms: int
    asked_ms: int
    records: Mapping[tuple[str, str], list[Any]]
    letters: Sequence[DeadLetter]
    hits: Mapping[str, int]
    reconnects: int
    rollovers: int
    asked: Mapping[str, int]
    markets: Mapping[str, str]
    pages: dict[tuple[str, int], dict[int, TradeRow]] = field(default_factory=dict)

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.markets)

    def of(self, topic: str, symbol: str) -> list[Any]:
        return self.records.get((topic, f"{self.exchange}:{symbol}"), [])

    def trades(self, symbol: str) -> list[Any]:
        return self.of(TRADES, symbol)

    def bars(self, symbol: str, interval: str = "1s") -> list[Any]:
        return self.of(klines_topic(interval), symbol)

    def books(self, symbol: str) -> list[Any]:
        return self.of(BOOK, symbol)

    def diffs(self, symbol: str) -> list[Any]:
        return self.of(DEPTH, symbol)

    def quotes(self, symbol: str) -> list[Any]:
        return self.of(QUOTES, symbol)

    def ledger(self, symbol: str, kind: str) -> list[Any]:
        return [event for event in self.of(LEDGER, symbol) if event["kind"] == kind]

    def told(self, symbol: str) -> list[Any]:
        """What the producer told of an instrument."""
        reports = [value for at, values in self.records.items() if at[0] == METRICS for value in values]
        return [
            each for report in reports for each in report.get("instruments", ()) if each["symbol"] == symbol
        ]

    # The truth

    @property
    def world(self) -> World:
        return market_of(self.exchange, self.flags, self.start_ms)

    def market(self, symbol: str) -> Market:
        return self.world.markets[self.markets[symbol]]

    def true_trade(self, symbol: str, trade_id: int) -> TradeRow:
        return self._page(symbol, trade_id - trade_id % 500)[trade_id]

    def newest_trade(self, symbol: str, time_ms: int) -> int:
        market = self.market(symbol)
        return market.trade_numbering.shown(market.tape.id_after(time_ms) - 1)

    def _page(self, symbol: str, first: int) -> dict[int, TradeRow]:
        if (symbol, first) not in self.pages:
            market = self.market(symbol)
            trades = market.tape.by_id(first, 500, self.asked_ms + 60_000)
            self.pages[symbol, first] = {row.trade_id: row for row in trade_rows(market, trades)}
        return self.pages[symbol, first]

    def true_bar(self, symbol: str, interval: str, open_ms: int) -> KlineRow:
        market = self.market(symbol)
        (bar,) = market.history.select(interval, 0, Span(open_ms, open_ms, 1), self.asked_ms + 600_000)
        return kline_row(market, bar)

    def true_book(self, symbol: str, time_ms: int, levels: int) -> tuple[list[list[str]], list[list[str]]]:
        market = self.market(symbol)
        state, price = market.book.state(slot_at(time_ms)), exact_decimals(market.instrument.price_decimals)
        bids, asks = (
            [[price(ticks), market.quantity(lots)] for ticks, lots in side.levels(levels)]
            for side in (state.bids, state.asks)
        )
        return bids, asks
