"""One connection to Kraken's v2: requests, acknowledgements for each symbol, snapshots (§4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from simulator.outgoing import Outgoing
from simulator.protocols.instants import rfc3339_ms
from simulator.protocols.kraken.feed import (
    asset_entry,
    book_snapshot,
    message,
    pair_entry,
    ticker_entry,
    trade_entries,
)
from simulator.protocols.kraken.names import DEPTHS, INSTRUMENT, stream_name
from simulator.protocols.kraken.wire import Decimals, encode, frame_of
from simulator.protocols.port import FrameLimit, Surroundings
from simulator.world.book import slot_at
from simulator.world.feed import newest_trades, trades_of
from simulator.world.hashing import hash_key
from simulator.world.market import Market
from simulator.world.rows import trade_rows
from simulator.world.world import World

_SNAPSHOT_TRADES: Final = 50
_TRIGGERS: Final = ("trades", "bbo")
_CHANNELS: Final = ("trade", "book", "ticker", "instrument")
_MOST_SYMBOLS: Final = 1_000


class _Refusal(Exception):
    """The text of `error`."""


class KrakenSession:
    """The subscriptions of one connection.

    Attributes:
        streams: names in the order of their subscription.
    """

    limit: FrameLimit | None = None
    deadline_s: float | None = None
    beats = True

    def __init__(self, world: World, surroundings: Surroundings, number: int) -> None:
        self.streams: dict[str, None] = {}
        self._world = world
        self._surroundings = surroundings
        self._id = hash_key(world.seed, "connection", number) % 2**53
        self._system = ""

    def opening(self) -> Sequence[bytes]:
        return self._status_if_changed()

    def beat(self, *, quiet: bool) -> Sequence[bytes]:
        changed = self._status_if_changed()
        if changed or not quiet or not self.streams:
            return changed
        return (b'{"channel":"heartbeat"}',)

    def farewell(self) -> bytes | None:
        return self._status("maintenance")

    def number(self, event: Outgoing) -> None:
        """Kraken numbers no messages."""

    def frame(self, event: Outgoing) -> bytes:
        return frame_of(event)

    def subscribes(self, text: str) -> bool:
        return _object_of(text).get("method") == "subscribe"

    def replies(self, text: str, *, wrong: bool = False) -> Sequence[bytes]:
        request = _object_of(text)
        try:
            match request.get("method"):
                case "ping":
                    return (self._reply(request, "pong", {}),)
                case "subscribe":
                    return tuple(self._subscribe(request, wrong=wrong))
                case "unsubscribe":
                    return tuple(self._unsubscribe(request))
                case _:
                    raise _Refusal("Unsupported method" if request else "Malformed request")
        except _Refusal as refusal:
            return (self._refused(request, str(refusal)),)

    # --- subscriptions ---

    def _subscribe(self, request: Mapping[str, Any], *, wrong: bool) -> Iterator[bytes]:
        channel, details, symbols = _asked(request)
        for symbol in symbols:
            if symbol is not None and symbol not in self._world.markets:
                yield self._refused(request, f"Currency pair not supported {symbol}", symbol)
                continue
            name = INSTRUMENT if symbol is None else stream_name(channel, symbol, details.get("detail", ""))
            if name in self.streams:
                yield self._refused(request, "Already subscribed", symbol)
                continue
            shown = {"channel": channel, **details["echo"]}
            if symbol is not None:
                shown["symbol"] = self._other(symbol) if wrong else symbol
            elif wrong:
                shown["channel"] = "ticker"
            yield self._reply(request, "subscribe", {"result": shown, "success": True})
            if wrong:
                continue
            self.streams[name] = None
            # A pair that is not listed yet has no prices of a day.
            untraded = (
                channel == "ticker"
                and symbol is not None
                and not self._world.markets[symbol].opened(self._world.feed.emitted_until_ms)
            )
            if details["snapshot"] and not untraded:
                yield encode(self._snapshot(channel, symbol, details))

    def _unsubscribe(self, request: Mapping[str, Any]) -> Iterator[bytes]:
        channel, details, symbols = _asked(request)
        for symbol in symbols:
            wanted = INSTRUMENT if symbol is None else stream_name(channel, symbol, details.get("detail", ""))
            if wanted not in self.streams:
                yield self._refused(request, "Subscription Not Found", symbol)
                continue
            del self.streams[wanted]
            shown = {"channel": channel, **details["echo"]}
            if symbol is not None:
                shown["symbol"] = symbol
            yield self._reply(request, "unsubscribe", {"result": shown, "success": True})

    def _other(self, symbol: str) -> str:
        """Another pair, for an acknowledgement that is wrong."""
        return next((name for name in self._world.symbols if name != symbol), "FOO/BAR")

    def _snapshot(self, channel: str, symbol: str | None, details: Mapping[str, Any]) -> dict[str, Any]:
        """The state at which the updates of this subscription begin."""
        time_ms = self._world.feed.emitted_until_ms
        if symbol is None:
            return self._instruments(time_ms)
        market = self._world.markets[symbol]
        match channel:
            case "trade":
                return self._recent_trades(market, time_ms)
            case "book":
                state = market.book.state(slot_at(time_ms))
                return book_snapshot(market, int(details["detail"]), state, time_ms)
            case _:
                top = market.book.top(slot_at(time_ms))
                return message("ticker", "snapshot", [ticker_entry(market, top, time_ms)])

    def _recent_trades(self, market: Market, time_ms: int) -> dict[str, Any]:
        trades = newest_trades(market, time_ms, _SNAPSHOT_TRADES)
        self._surroundings.show(market.symbol, trade_rows(market, trades))
        return message("trade", "snapshot", trade_entries(market, Decimals(market), trades_of(trades)))

    def _instruments(self, time_ms: int) -> dict[str, Any]:
        markets = self._world.markets.values()
        assets = dict.fromkeys(
            asset
            for market in markets
            for asset in (market.instrument.base_asset, market.instrument.quote_asset)
        )
        pairs = [pair_entry(market, pair_status(self._world, market, time_ms)) for market in markets]
        return message(
            "instrument", "snapshot", {"assets": [asset_entry(asset) for asset in assets], "pairs": pairs}
        )

    # --- replies ---

    def _status_if_changed(self) -> Sequence[bytes]:
        system = system_status(self._world, self._surroundings.now_ms())
        if system == self._system:
            return ()
        self._system = system
        return (self._status(system),)

    def _status(self, system: str) -> bytes:
        entry = {"version": "2.0.10", "system": system, "api_version": "v2", "connection_id": self._id}
        return encode(message("status", "update", [entry]))

    def _reply(self, request: Mapping[str, Any], method: str, content: Mapping[str, Any]) -> bytes:
        now = rfc3339_ms(self._surroundings.now_ms())
        number = {"req_id": request["req_id"]} if type(request.get("req_id")) is int else {}
        return encode({"method": method, **content, **number, "time_in": now, "time_out": now})

    def _refused(self, request: Mapping[str, Any], error: str, symbol: str | None = None) -> bytes:
        method = request.get("method")
        named = {"symbol": symbol} if symbol is not None else {}
        content = {"error": error, "success": False, **named}
        return self._reply(request, method if isinstance(method, str) else "", content)


def pair_status(world: World, market: Market, time_ms: int) -> str:
    """A pair's status: maintenance in a halt, else online, unless set otherwise."""
    usual = "online" if market.halts.end_of(time_ms) is None else "maintenance"
    return world.statuses.get(market.symbol, usual)


def system_status(world: World, time_ms: int) -> str:
    """The engine's status: maintenance while all pairs are."""
    statuses = {pair_status(world, market, time_ms) for market in world.markets.values()}
    return "maintenance" if statuses == {"maintenance"} else "online"


def _object_of(text: str) -> dict[str, Any]:
    """A request; empty if the text is none."""
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return request if isinstance(request, dict) else {}


def _asked(request: Mapping[str, Any]) -> tuple[str, dict[str, Any], list[str | None]]:
    """Channel, details and symbols (None: it has none) of a subscription.

    Raises:
        _Refusal: for all symbols at once.
    """
    params = request.get("params")
    if not isinstance(params, dict) or params.get("channel") not in _CHANNELS:
        raise _Refusal("Unsupported field: 'channel' for the given method")
    channel: str = params["channel"]
    snapshot = params.get("snapshot", channel != "trade")
    if type(snapshot) is not bool:
        raise _Refusal("Unsupported field: 'snapshot' for the given method")
    details: dict[str, Any] = {"snapshot": snapshot, "echo": {"snapshot": snapshot}}
    if channel == "instrument":
        return channel, details, [None]
    if channel == "book":
        details["detail"] = details["echo"]["depth"] = params.get("depth", DEPTHS[0])
        if type(details["detail"]) is not int or details["detail"] not in DEPTHS:
            raise _Refusal("Subscription depth not supported")
    elif channel == "ticker":
        details["detail"] = details["echo"]["event_trigger"] = params.get("event_trigger", _TRIGGERS[0])
        if details["detail"] not in _TRIGGERS:
            raise _Refusal("Event trigger not supported")
    symbols = params.get("symbol")
    if not isinstance(symbols, list) or not symbols or len(symbols) > _MOST_SYMBOLS:
        raise _Refusal("Symbol(s) missing")
    if not all(isinstance(symbol, str) and len(symbol) <= 50 for symbol in symbols):
        raise _Refusal("Currency pair not in ISO 4217-A3 format")
    return channel, details, list(symbols)
