"""The truth of a run: trades from the simulator's log, books from the same world made again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import orjson

from bench.peers.clients.lines import LEVELS
from bench.peers.comparison import Issued, Side, Span, Top, Truth
from simulator.protocols.registry import EXCHANGES
from simulator.world.book import Level, published_ms, slot_at
from simulator.world.market import Market


def plain(symbol: str) -> str:
    """A symbol of any exchange like BTC-USD."""
    return symbol.replace("/", "-")


def truth(exchange: str, symbols: Sequence[str], *, seed: int, start_ms: int, log: Path, span: Span) -> Truth:
    """What was issued in a run of `simulate --exchange … --seed … --start …`.

    Args:
        symbols: as the exchange writes them.
        log: of `--log`, of a simulator that has ended.
    """
    world = EXCHANGES[exchange].world(symbols, seed, start_ms, 1.0)
    markets = {plain(symbol): market for symbol, market in world.markets.items()}
    trades: dict[tuple[str, str], Issued] = {}
    due: defaultdict[str, list[str]] = defaultdict(list)
    for line in log.read_bytes().splitlines():
        entry = orjson.loads(line)
        if entry["kind"] != "trade":
            continue
        symbol, trade_id = plain(entry["symbol"]), str(entry["trade_id"])
        side = "sell" if entry["buyer_is_maker"] else "buy"
        trades[symbol, trade_id] = Issued(side, Decimal(entry["price"]), Decimal(entry["quantity"]))
        if entry["trade_time_ms"] in span:
            due[symbol].append(trade_id)

    @lru_cache(maxsize=100_000)
    def top(symbol: str, time_ms: int) -> Top:
        market = markets[symbol]
        state = market.book.state(slot_at(time_ms))
        return _side(market, state.bids.levels(LEVELS)), _side(market, state.asks.levels(LEVELS))

    first, last = slot_at(span.begin_ms) + 1, slot_at(span.end_ms - 1)
    changes_ms = {
        symbol: [
            published_ms(slot)
            for slot in range(first, last + 1)
            if top(symbol, published_ms(slot)) != top(symbol, published_ms(slot - 1))
        ]
        for symbol in markets
    }
    return Truth(trades, due, top, changes_ms)


def _side(market: Market, levels: Sequence[Level]) -> Side:
    return tuple((Decimal(market.price(ticks)), Decimal(market.quantity(lots))) for ticks, lots in levels)
