"""The toy's protocol over a seeded world: one WebSocket at `/toy`, five endpoints below it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from simulator.exchange import TradeRow
from simulator.faults.kinds import Scope, kinds_on
from simulator.faults.script import Fault
from simulator.faults.targets import Target
from simulator.outgoing import Outgoing
from simulator.protocols.alterations import Alterations
from simulator.protocols.port import (
    DepthIssued,
    Dialect,
    FrameLimit,
    Ids,
    Issued,
    RestAnswer,
    RestManners,
    RestRequest,
    Surroundings,
    TradeIssued,
    Verbatim,
)
from simulator.protocols.registry import Spoken
from simulator.world.book import BookState, changes, published_ms, slot_at
from simulator.world.feed import SlotSource, Source, Trade, TradeSource, newest_trades
from simulator.world.market import Market
from simulator.world.rows import trade_rows
from simulator.world.trade_tape import Trades
from simulator.world.world import World

_KINDS: Final = {"trade": "trade", "book": "depth", "top": "quote"}
_NEEDED: Final = {"trade": ("id", "price"), "depth": ("from", "to"), "quote": ("to", "bid")}
_PATHS: Final = ("time", "markets", "trades", "book")


class _Book(SlotSource):
    def __init__(self, market: Market, after_ms: int) -> None:
        super().__init__(market, after_ms)
        self._state = self.first_state

    def payload(self) -> Mapping[str, Any] | None:
        before, self._state = self._state, self.market.book.state(self.slot)
        bids, asks = changes(before.bids, self._state.bids), changes(before.asks, self._state.asks)
        return _book(self.market, before.update_id + 1, self._state, bids, asks)


class _Top(SlotSource):
    def payload(self) -> Mapping[str, Any] | None:
        price, quantity = self.market.price, self.market.quantity
        bid, ask = ([price(ticks), quantity(lots)] for ticks, lots in self.market.book.top(self.slot))
        to, at_ms = self.market.book.state(self.slot).update_id, published_ms(self.slot)
        return {"stream": "top", "symbol": self.market.symbol, "to": to, "bid": bid, "ask": ask, "at": at_ms}


def _book(
    market: Market, first: int, state: BookState, bids: Mapping[int, int], asks: Mapping[int, int]
) -> dict[str, Any]:
    sides = {
        name: [[market.price(ticks), market.quantity(lots)] for ticks, lots in side.items()]
        for name, side in (("bids", bids), ("asks", asks))
    }
    at = {"from": first, "to": state.update_id, "at": published_ms(state.slot)}
    return {"stream": "book", "symbol": market.symbol, **at, **sides}


def _trade(market: Market, trade: Trade) -> dict[str, Any]:
    return {
        "stream": "trade",
        "symbol": market.symbol,
        "id": market.trade_numbering.shown(trade.tape_id),
        "price": market.price(trade.price_ticks),
        "amount": market.quantity(trade.lots),
        "taker": "sell" if trade.buyer_is_maker else "buy",
        "at": trade.time_ms,
    }


class ToyDialect:
    """See `Dialect`: an event is one record."""

    name = "toy"
    scope = Scope("toy", ("trade", "depth", "quote"), _PATHS, kinds_on("toy"))
    counted = False

    def __init__(self) -> None:
        self._alterations = Alterations(_NEEDED, lambda _kind, payload, change: change(payload))

    def target_of(self, stream: str) -> Target | None:
        channel, _, symbol = stream.partition("@")
        return Target(_KINDS[channel], symbol, "") if channel in _KINDS else None

    def carried(self, stream: str) -> bool:
        return True

    def logged(self, stream: str) -> bool:
        return not stream.startswith("top")

    def followed(self, symbol: str, intervals: Sequence[str]) -> Iterable[str]:
        return [f"trade@{symbol}"]

    def identity_of(self, kind: str, event: Outgoing) -> int:
        return int(event.event["id" if kind == "trade" else "to"])

    def is_final(self, event: Outgoing) -> bool:
        return False

    def issued(self, event: Outgoing) -> Iterable[Issued]:
        said = event.event
        if said["stream"] == "trade":
            row = TradeRow(said["id"], said["price"], said["amount"], "", said["at"], said["taker"] == "sell")
            yield TradeIssued(said["symbol"], row)
        elif said["stream"] == "book":
            yield DepthIssued(said["symbol"], said["from"], said["to"], said["at"])

    def ids_of(self, target: Target, event: Outgoing) -> Ids | None:
        said = event.event
        if target.kind == "trade":
            return Ids(said["id"], said["id"], said["id"] + 1, said["at"])
        return Ids(said.get("from", said["to"]), said["to"], said["to"] + 1)

    def lie_of(self, target: Target, event: Outgoing) -> Mapping[str, Any]:
        return {"trade_id": event.event["id"], "trade_time_ms": event.event["at"]}

    def altered(self, fault: Fault, target: Target, event: Outgoing, draw: int) -> Outgoing:
        altered = self._alterations.altered(fault, target, event, draw)
        if altered is not None:
            return altered
        if fault.kind == "wrong_trade_id":
            changed = {**event.event, "id": fault.options["trade_id"]}
        else:
            changed = {**event.event, "at": event.event["at"] + round(fault.options["offset_ms"])}
        return event.changed(changed, genuine=False)

    def with_clock(self, event: Outgoing, offset_ms: int) -> Outgoing | None:
        return None


DIALECT: Final[Dialect] = ToyDialect()


class ToySession:
    """See `Session`: a client says once to what it listens."""

    limit: FrameLimit | None = None
    deadline_s: float | None = None
    beats = False

    def __init__(self, symbols: Sequence[str]) -> None:
        self.streams: dict[str, None] = {}
        self._there = {f"{channel}@{symbol}" for channel in _KINDS for symbol in symbols}

    def opening(self) -> Sequence[bytes]:
        return ()

    def subscribes(self, text: str) -> bool:
        return "listen" in text

    def replies(self, text: str, *, wrong: bool = False) -> Sequence[bytes]:
        self.streams |= {name: None for name in orjson.loads(text)["listen"] if name in self._there}
        return (orjson.dumps({"stream": "listening", "to": list(self.streams)}),)

    def number(self, event: Outgoing) -> None:
        """A toy numbers no messages."""

    def frame(self, event: Outgoing) -> bytes:
        return event.damaged(event.frame("toy", lambda: orjson.dumps(event.event)))

    def beat(self, *, quiet: bool) -> Sequence[bytes]:
        return ()

    def farewell(self) -> bytes | None:
        return None


class ToyManners:
    """See `RestManners`."""

    only_paths: Mapping[str, tuple[str, ...]] = {}

    def error(self, status: int) -> Verbatim:
        return Verbatim(status, b'{"error":"a toy is broken"}')

    def limited(self, kind: str, retry_after_s: float, now_ms: int) -> Verbatim:
        return self.error(429)

    def with_server_time(self, answer: RestAnswer, offset_ms: int) -> RestAnswer:
        if not isinstance(answer.body, dict) or "now" not in answer.body:
            return answer
        return replace(answer, body={"now": answer.body["now"] + offset_ms})

    def without_open_row(self, answer: RestAnswer, from_ms: int, until_ms: float) -> RestAnswer:
        return answer


class ToyFace:
    """See `Face`."""

    dialect: Dialect = DIALECT
    manners: RestManners = ToyManners()

    def __init__(self, world: World) -> None:
        self._world = world

    def session(self, path: str, raw_query: str) -> ToySession | None:
        return ToySession(self._world.symbols) if path == "/toy" else None

    def read(
        self,
        path: str,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        now_ms: int,
    ) -> RestRequest | None:
        name = path.removeprefix("/toy/")
        return RestRequest(name, query, None, now_ms) if name in _PATHS else None

    def charge(self, address: str, request: RestRequest) -> tuple[Mapping[str, str], Verbatim | None]:
        return {}, None

    def answer(self, request: RestRequest) -> RestAnswer:
        given, now_ms = dict(request.query), request.now_ms
        if request.path == "time":
            return RestAnswer(200, {"now": now_ms})
        if request.path == "markets":
            markets = self._world.markets.values()
            return RestAnswer(
                200,
                [
                    {
                        "name": each.symbol,
                        "open": each.halts.end_of(now_ms) is None,
                        "places": [each.instrument.price_decimals, each.instrument.quantity_decimals],
                    }
                    for each in markets
                ],
            )
        market = self._world.markets[given["symbol"]]
        if request.path == "book":
            state = market.book.state(slot_at(now_ms))
            sides = [dict(side.levels(int(given["levels"]))) for side in (state.bids, state.asks)]
            return RestAnswer(200, _book(market, state.update_id, state, *sides))
        rows = trade_rows(market, self._trades(market, given, now_ms))
        body = [
            {
                "id": row.trade_id,
                "price": row.price,
                "amount": row.quantity,
                "taker": "sell" if row.buyer_is_maker else "buy",
                "at": row.trade_time_ms,
            }
            for row in rows
        ]
        return RestAnswer(200, body, trades=(market.symbol, rows))

    def _trades(self, market: Market, given: Mapping[str, str], now_ms: int) -> Trades:
        count = int(given["count"])
        if "first" in given:
            return market.tape.by_id(int(given["first"]), count, now_ms)
        if "from_ms" in given:
            # One before that time comes first.
            return market.tape.by_id(market.tape.id_after(int(given["from_ms"]) - 1) - 1, count, now_ms)
        return newest_trades(market, now_ms, count)

    def summed(self, request: RestRequest) -> bool:
        return request.path == "trades"

    def is_ping(self, request: RestRequest) -> bool:
        return request.path == "time"


class ToyWorld(World):
    """The seeded world as the toy's market."""

    dialect: Dialect = DIALECT

    def face(self, surroundings: Surroundings) -> ToyFace:
        return ToyFace(self)

    def open_source(self, name: str, after_ms: int) -> Source | None:
        channel, _, symbol = name.partition("@")
        market = self.markets.get(symbol)
        if market is None:
            return None
        if channel == "trade":
            return TradeSource(market, after_ms, lambda trades: _trade(market, trades[0]))
        return _Book(market, after_ms) if channel == "book" else _Top(market, after_ms)


SPOKEN: Final = Spoken(DIALECT, ToyWorld, ("BTC-USD", "XRP-USD"))
