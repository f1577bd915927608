"""One connection to Advanced Trade: subscriptions, snapshots, the count of its messages (§2.1, §2.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from simulator.outgoing import Outgoing
from simulator.protocols.coinbase.far_levels import far_levels
from simulator.protocols.coinbase.feed import (
    level_entries,
    status_message,
    ticker_entry,
    trade_entries,
)
from simulator.protocols.coinbase.names import STATUS, canonical, parse
from simulator.protocols.coinbase.wire import encode, envelope, numbered
from simulator.protocols.port import FrameLimit, Surroundings
from simulator.world.book import published_ms, slot_at
from simulator.world.feed import newest_trades, trades_of
from simulator.world.market import Market
from simulator.world.rows import trade_rows
from simulator.world.world import World

_SNAPSHOT_TRADES: Final = 100
_MESSAGES_PER_SECOND: Final = 8
_DEADLINE_S: Final = 5.0
_HEARTBEATS: Final = "heartbeats"
_WITH_PRODUCTS: Final = ("market_trades", "level2", "ticker")
_CHANNELS: Final = (*_WITH_PRODUCTS, "status", _HEARTBEATS)


class FarLevels:
    """The far levels of all books, encoded once: as objects they would take ten times the memory.

    Args:
        count: of each side.
    """

    def __init__(self, world: World, count: int) -> None:
        self._world = world
        self._count = count
        self._made: dict[str, tuple[bytes, bytes]] = {}

    def of(self, market: Market) -> tuple[bytes, bytes]:
        """Entries of bids and asks, without the list's brackets."""
        if market.symbol not in self._made:
            bids, asks = far_levels(market, self._world.seed, self._count)
            begin_ms = self._world.start_ms
            self._made[market.symbol] = (
                orjson.dumps(level_entries(market, begin_ms, bids, ()))[1:-1],
                orjson.dumps(level_entries(market, begin_ms, (), asks))[1:-1],
            )
        return self._made[market.symbol]


class CoinbaseSession:
    """The subscriptions of one connection, and its count.

    Args:
        ident: tells it from all others.

    Attributes:
        streams: names in the order of their subscription; heartbeats are none.
    """

    deadline_s: float | None = _DEADLINE_S
    beats = True

    def __init__(self, world: World, surroundings: Surroundings, far: FarLevels, ident: int) -> None:
        self.streams: dict[str, None] = {}
        self.limit: FrameLimit | None = FrameLimit(_MESSAGES_PER_SECOND)
        self._world = world
        self._surroundings = surroundings
        self._far = far
        self._id = ident
        self._next_number = 0
        self._ahead = 0
        self._heartbeats: int | None = None

    def opening(self) -> Sequence[bytes]:
        return ()

    def farewell(self) -> bytes | None:
        return None

    def beat(self, *, quiet: bool) -> Sequence[bytes]:  # noqa: ARG002
        if self._heartbeats is None:
            return ()
        self._heartbeats += 1
        now_ms = self._surroundings.now_ms()
        elapsed_s = (now_ms - self._world.start_ms) / 1000
        # As Go writes a time with its monotonic part.
        whole = datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        current = f"{whole}.{now_ms % 1000:03d}000000 +0000 UTC m=+{elapsed_s:.9f}"
        event = {"current_time": current, "heartbeat_counter": self._heartbeats}
        return (self._said(envelope(_HEARTBEATS, now_ms, [event])),)

    def number(self, event: Outgoing) -> None:
        event.origin.numbers[self._id] = self._taken()

    def frame(self, event: Outgoing) -> bytes | None:
        number = event.origin.numbers.get(self._id)
        if number is None:
            return None
        # From here on the count is ahead, though nothing is missing.
        self._ahead += event.left_out
        body = event.frame("body", lambda: encode(event.event))
        return event.damaged(numbered(body, number + self._ahead))

    def subscribes(self, text: str) -> bool:
        return _object_of(text).get("type") == "subscribe"

    def replies(self, text: str, *, wrong: bool = False) -> Sequence[bytes]:
        request = _object_of(text)
        kind, channel = request.get("type"), request.get("channel")
        if kind not in ("subscribe", "unsubscribe"):
            return (_error("invalid message type"),)
        if channel not in _CHANNELS:
            return (_error(f"channel {channel} is not supported" if channel else "channel is required"),)
        names = _products(request)
        if channel in _WITH_PRODUCTS and not names:
            return (_error("product_ids is required"),)
        known = [canonical(name) for name in names]
        unknown = next((name for name in known if name not in self._world.markets), None)
        if channel in _WITH_PRODUCTS and unknown is not None:
            return (_error(f"{unknown} is not a valid product"),)
        if kind == "unsubscribe":
            return self._unsubscribe(str(channel), known)
        return tuple(self._subscribe(str(channel), known, wrong=wrong))

    # --- subscriptions ---

    def _subscribe(self, channel: str, products: Sequence[str], *, wrong: bool) -> Iterator[bytes]:
        if wrong:
            other = next((name for name in self._world.symbols if name not in products), "FOO-BAR")
            yield self._subscriptions({channel: [other]})
            return
        time_ms = self._world.feed.emitted_until_ms
        if channel == _HEARTBEATS:
            self._heartbeats = self._heartbeats or 0
        elif channel == "status":
            if STATUS not in self.streams:
                self.streams[STATUS] = None
                markets = self._world.markets.values()
                yield self._said(status_message(markets, self._world.statuses, time_ms, "snapshot"))
        else:
            for product in dict.fromkeys(products):
                name = f"{channel}@{product}"
                if name in self.streams:
                    continue
                self.streams[name] = None
                market = self._world.markets[product]
                # A product that is not listed yet has no prices of a day.
                if channel != "ticker" or market.opened(time_ms):
                    yield self._snapshot(channel, market, time_ms)
        yield self._subscriptions(self._all())

    def _unsubscribe(self, channel: str, products: Sequence[str]) -> Sequence[bytes]:
        if channel == _HEARTBEATS:
            self._heartbeats = None
        for product in products if channel != "status" else ("",):
            self.streams.pop(f"{channel}@{product}", None)
        return (self._subscriptions(self._all()),)

    def _all(self) -> dict[str, list[str]]:
        """The products of every channel subscribed."""
        found: dict[str, list[str]] = {}
        for name in self.streams:
            channel, product = parse(name)
            found.setdefault(channel, []).extend([product] if product else [])
        if self._heartbeats is not None:
            found[_HEARTBEATS] = [_HEARTBEATS]
        return found

    def _subscriptions(self, shown: Mapping[str, Sequence[str]]) -> bytes:
        now_ms = self._surroundings.now_ms()
        return self._said(envelope("subscriptions", now_ms, [{"subscriptions": shown}]))

    def _snapshot(self, channel: str, market: Market, time_ms: int) -> bytes:
        """The state at which the updates of this subscription begin."""
        match channel:
            case "market_trades":
                return self._recent_trades(market, time_ms)
            case "level2":
                return self._book(market, time_ms)
            case _:
                entry = ticker_entry(market, market.book.top(slot_at(time_ms)), time_ms)
                return self._said(envelope("ticker", time_ms, [{"type": "snapshot", "tickers": [entry]}]))

    def _recent_trades(self, market: Market, time_ms: int) -> bytes:
        trades = newest_trades(market, time_ms, _SNAPSHOT_TRADES)
        self._surroundings.show(market.symbol, trade_rows(market, trades))
        entries = trade_entries(market, reversed(trades_of(trades)))
        return self._said(envelope("market_trades", time_ms, [{"type": "snapshot", "trades": entries}]))

    def _book(self, market: Market, time_ms: int) -> bytes:
        state = market.book.state(slot_at(time_ms))
        near_ms = published_ms(state.slot)
        far_bids, far_asks = self._far.of(market)
        near_bids = orjson.dumps(level_entries(market, near_ms, state.bids.levels(), ()))[1:-1]
        near_asks = orjson.dumps(level_entries(market, near_ms, (), state.asks.levels()))[1:-1]
        parts = b",".join(part for part in (near_bids, far_bids, near_asks, far_asks) if part)
        updates = orjson.Fragment(b"[%s]" % parts)
        event = {"type": "snapshot", "product_id": market.symbol, "updates": updates}
        return self._said(envelope("l2_data", time_ms, [event]))

    def _taken(self) -> int:
        self._next_number += 1
        return self._next_number - 1

    def _said(self, payload: Mapping[str, Any]) -> bytes:
        return numbered(encode(payload), self._taken() + self._ahead)


def _error(text: str) -> bytes:
    return orjson.dumps({"type": "error", "message": text})


def _object_of(text: str) -> dict[str, Any]:
    """A request; empty if the text is none."""
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return request if isinstance(request, dict) else {}


def _products(request: Mapping[str, Any]) -> list[str]:
    names = request.get("product_ids", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return []
    return names
