"""A producer and a simulated exchange, with real sockets between them; the records stay in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast
from unittest import mock

import orjson

from producers.exchanges.registry import EXCHANGES
from producers.service import Assignment, ProducerService
from shared.dead_letters import DeadLetter
from shared.settings import load_settings
from shared.topics import BOOK, DEPTH, LEDGER, QUOTES, TRADES, klines_topic
from simulator.exchange import KlineRow, Span, TradeRow
from simulator.faults.market import halts_by_symbol
from simulator.faults.script import parse_script
from simulator.protocols.registry import EXCHANGES as SPOKEN
from simulator.server.app import Simulator, SimulatorOptions
from simulator.world.book import slot_at
from simulator.world.market import Market, exact_decimals
from simulator.world.rows import kline_row, trade_rows
from simulator.world.world import World

INTERVALS: Final = ("1s", "1m")
# Of the market at least, until what a case has to show has been seen at most, and then until the producer has
# all of it at most: the machines are shared, and no case depends on how fast they are.
SECONDS: Final = 16.0
EVIDENCE_S: Final = 120.0
DEADLINE_S: Final = 40.0
# Of books whose far part real ones have too: it would only take time.
FAR_LEVELS: Final = 200
# Asked for under one name and sent under another, by the name of the exchange's market.
ALIASES: Final[Mapping[str, str]] = {"BTC-USD": "BTC-USDC"}
# Two pairs of each: a busy one, and one with seconds without a trade.
SYMBOLS: Final[Mapping[str, tuple[str, str]]] = {
    "binance": ("BTCUSDC", "XRPUSDC"),
    "kraken": ("BTC/USD", "XRP/USD"),
    "coinbase": ("BTC-USD", "XRP-USD"),
}


class Records:
    """In place of `producers.publisher.Publisher`: takes all records, and acknowledges them when polled."""

    queue_messages = 100_000
    congested = False
    congested_s = 0.0
    outstanding = 0
    retriable_errors = 0
    lost = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        self.taken: list[tuple[str, bytes, Any]] = []
        self.letters: list[DeadLetter] = []
        self.delivered = 0
        self.dead_letters = self
        self._reports: list[Callable[[int, int], None]] = []

    def start(self, _topics: frozenset[str]) -> None:
        """It is always there."""

    def send(self, topic: str, key: bytes, value: bytes | None, delivered: Any = None) -> None:
        self.delivered += 1
        self.taken.append((topic, key, None if value is None else orjson.loads(value)))
        if delivered is not None:
            self._reports.append(delivered)

    def send_dead_letter(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    def poll(self) -> None:
        reports, self._reports = self._reports, []
        for report in reports:
            report(0, self.delivered)

    def flush_now(self, _timeout_s: float) -> None:
        self.poll()

    async def room(self) -> None:
        """There always is."""

    async def flush(self, _timeout_s: float) -> int:
        self.poll()
        return 0


@dataclass(frozen=True)
class Run:
    """What a producer published of a simulated exchange, and the truth about it.

    Attributes:
        asked_ms: the market's time when it stopped.
        hits: by kind, how often its faults have struck.
        reconnects, rollovers: of its connections until then.
        asked: how often it asked, as the simulator counts.
        markets: by symbol as it was asked for, the market's own.
        pages: of true trades, as far as they were asked for.
    """

    exchange: str
    world: World
    records: Records
    asked_ms: int
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
        key = f"{self.exchange}:{symbol}".encode()
        return [value for to, by, value in self.records.taken if to == topic and by == key]

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

    # The truth

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


def _adapted(exchange: str, faults: Sequence[str]) -> Any:
    return parse_script(None, faults, SPOKEN[exchange].dialect.scope).faults


async def carried(
    exchange: str,
    faults: Sequence[str],
    shown: Callable[[Run], bool],
    *,
    age_s: float | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Run:
    """Run a producer for some seconds, and until what is to be looked at has happened.

    Args:
        faults: of the simulator, as its command line takes them.
        shown: whether a run has all that its case wants to see.
        age_s: of a connection, after which the next one takes over.
        aliases: names that are asked for in place of the market's own.
    """
    script, symbols = _adapted(exchange, faults), SYMBOLS[exchange]
    markets = {(aliases or {}).get(symbol, symbol): symbol for symbol in symbols}
    start_ms = time.time_ns() // 1_000_000
    world = SPOKEN[exchange].world(
        symbols, 7, start_ms, 2.0, halts=halts_by_symbol(script, 1, start_ms, symbols)
    )
    # The market waits for the producer, and stops before it is asked what it has.
    options = SimulatorOptions(faults=script, hold=1, far_levels=FAR_LEVELS)
    simulator = Simulator(world, options)
    await simulator.start()
    host, names = f"127.0.0.1:{simulator.port}", EXCHANGES[exchange].settings
    settings = load_settings(
        exchange=exchange,
        symbols=",".join(markets),
        kafka_bootstrap_servers="127.0.0.1:1",
        warmup_bars=0,
        book_interval_ms=0,
        **{names.rest.lower(): f"http://{host}", names.history.lower(): f"http://{host}"},
        **{names.stream.lower(): f"ws://{host}"},
    )
    try:
        with mock.patch("producers.service.Publisher", Records):
            assignment = Assignment(tuple(markets), INTERVALS, memory_broker=True, connection_age_s=age_s)
            service = ProducerService(settings, assignment)
        running = asyncio.create_task(service.run())

        def run_until(asked_ms: int) -> Run:
            hits: dict[str, int] = {}
            for entry in simulator._tally.listed():
                hits[entry["kind"]] = hits.get(entry["kind"], 0) + entry["fired"]
            return Run(
                exchange,
                world,
                cast("Any", service._publisher),
                asked_ms,
                hits,
                sum(feed.reconnects for feed in service._feeds),
                sum(feed.rollovers for feed in service._feeds),
                simulator.asked(),
                markets,
            )

        least_ms, give_up_s = start_ms + round(SECONDS * 1000), time.monotonic() + EVIDENCE_S
        while not running.done() and time.monotonic() < give_up_s:
            await asyncio.sleep(0.25)
            if simulator.now_ms() >= least_ms and shown(run_until(simulator.now_ms())):
                break
        # It may stop a little later, where no batch of trades is open.
        asked_ms = await simulator.freeze()
        stopped = run_until(asked_ms)
        await _caught_up(service, stopped)
        if running.done():
            running.result()
        service._stop.set()
        assert await asyncio.wait_for(running, 30.0) == 0
        ended = run_until(asked_ms)
        return replace(stopped, hits=ended.hits, asked=ended.asked)
    finally:
        await simulator.stop()


async def _caught_up(service: ProducerService, run: Run) -> None:
    """Until the producer has all trades and bars of the market, which has stopped."""
    publisher: Any = service._publisher
    asked_ms = run.asked_ms
    give_up_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up_s:
        await asyncio.sleep(0.1)
        wanted = {symbol: run.newest_trade(symbol, asked_ms) for symbol in run.symbols}
        trades: dict[str, set[int]] = {}
        bars: dict[str, int] = {}
        for topic, _, value in publisher.taken:
            if topic == TRADES:
                trades.setdefault(value["symbol"], set()).add(value["trade_id"])
            elif topic == klines_topic("1s"):
                bars[value["symbol"]] = max(value["open_time_ms"], bars.get(value["symbol"], 0))
        whole = all(
            max(trades.get(symbol, {0})) >= newest
            and len(trades[symbol]) == newest - min(trades[symbol]) + 1
            and bars.get(symbol, 0) >= asked_ms - 4_000
            for symbol, newest in wanted.items()
        )
        if whole:
            return
