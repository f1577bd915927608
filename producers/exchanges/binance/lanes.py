"""The short way of Binance's usual frames: matched, held to their rules and spliced into messages at once.

A lane takes a frame that is usual in form (`producers.exchanges.binance.wire`) and next in its series. All
others go the long way, through `parse_frame` and the same cores; a property test holds both to the same
bytes, effects and cores.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import orjson

from producers.effects import Effect, Publish
from producers.exchanges.binance.parse import EXCHANGE, TRADE_DELAY_MS
from producers.exchanges.binance.wire import DEPTH, KLINE, QUOTE, TRADE, Wire
from producers.exchanges.frame_types import Stream
from producers.exchanges.lane_port import Lane, Lanes, Steps, Taken
from producers.exchanges.wire_text import RULES, ContractText, captured, matcher
from shared.intervals import INTERVAL_MS
from shared.messages import DepthMessage
from shared.models import SCHEMA_VERSION
from shared.topics import DEPTH as DEPTH_TOPIC
from shared.topics import QUOTES, TRADES, klines_live_topic

_HEAD: Final = b'{"stream":"'

Match = Callable[[bytes, int], re.Match[bytes] | None]


def lanes_of(
    streams: Sequence[Stream], steps: Mapping[str, Steps], rules: Mapping[str, str] = RULES
) -> Lanes:
    """The lanes of these streams.

    Args:
        steps: by symbol.
        rules: of the holes.
    """
    by_head: dict[bytes, Lane] = {}
    for stream in streams:
        make = _LANES.get(stream.kind)
        if make is not None and (stream.interval is None or stream.interval in INTERVAL_MS):
            by_head[_HEAD + _json(stream.name).encode()] = make(stream, steps[stream.symbol], rules)
    return Lanes(len(_HEAD), by_head)


def _json(text: str) -> str:
    return orjson.dumps(text).decode()[1:-1]


def _compiled(wire: Wire, stream: Stream, rules: Mapping[str, str]) -> tuple[Match, ContractText]:
    given = {"symbol": _json(stream.symbol), "interval": stream.interval or ""}
    return matcher(wire.frame, given, rules), ContractText(wire.contract, given)


def _quotes(stream: Stream, steps: Steps, rules: Mapping[str, str]) -> Lane:
    match, contract = _compiled(QUOTE, stream, rules)
    assert contract.names == captured(QUOTE.frame)
    take_quote = steps.quote
    text, text_ms = b"", -1

    def take(frame: bytes, at: int, now_ms: int, _latest_ms: int) -> Taken | None:
        nonlocal text, text_ms
        found = match(frame, at)
        if found is None:
            return None
        if now_ms != text_ms:
            text, text_ms = contract.received_at(now_ms), now_ms
        value = text % found.groups()
        take_quote(value)
        return value, None, ()

    return Lane(stream, QUOTES, take)


def _trades(stream: Stream, steps: Steps, rules: Mapping[str, str]) -> Lane:
    match, contract = _compiled(TRADE, stream, rules)
    assert contract.names == captured(TRADE.frame)
    take_trade = steps.trade
    text, text_ms = b"", -1

    def take(frame: bytes, at: int, now_ms: int, latest_ms: int) -> Taken | None:
        nonlocal text, text_ms
        found = match(frame, at)
        if found is None:
            return None
        groups = found.groups()
        event, trade_id, price, quantity, time, buyer_is_maker = groups
        event_ms, time_ms = int(event), int(time)
        if event_ms > latest_ms or time_ms > latest_ms or event_ms - time_ms > TRADE_DELAY_MS:
            return None
        if now_ms != text_ms:
            text, text_ms = contract.received_at(now_ms), now_ms
        value = text % groups
        trade = price.decode(), quantity.decode(), buyer_is_maker == b"true"
        if not take_trade(int(trade_id), time_ms, trade, now_ms, value):
            return None
        return value, event_ms, ()

    return Lane(stream, TRADES, take)


def _diffs(stream: Stream, steps: Steps, rules: Mapping[str, str]) -> Lane:
    match, contract = _compiled(DEPTH, stream, rules)
    assert contract.names == captured(DEPTH.frame)

    def take(frame: bytes, at: int, now_ms: int, latest_ms: int) -> Taken | None:
        found = match(frame, at)
        if found is None:
            return None
        groups = found.groups()
        event, first, final, bids, asks = groups
        event_ms, first_update_id, final_update_id = int(event), int(first), int(final)
        if event_ms > latest_ms or final_update_id < first_update_id:
            return None
        diff: DepthMessage = {
            "schema": SCHEMA_VERSION,
            "exchange": EXCHANGE,
            "symbol": stream.symbol,
            "event_time_ms": event_ms,
            "received_time_ms": now_ms,
            "source": "stream",
            "kind": "diff",
            "first_update_id": first_update_id,
            "final_update_id": final_update_id,
            "bids": orjson.loads(bids),
            "asks": orjson.loads(asks),
        }
        effects = steps.diff(diff)
        if effects is None:
            return None
        if not _publishes(diff, effects):
            return None, event_ms, effects  # the book is crossed
        return contract.received_at(now_ms) % groups, event_ms, effects[1:]

    return Lane(stream, DEPTH_TOPIC, take)


def _publishes(message: object, effects: Sequence[Effect]) -> bool:
    """Whether the message itself is what is published first."""
    first = effects[0] if effects else None
    return type(first) is Publish and first.message is message


def _bars(stream: Stream, steps: Steps, rules: Mapping[str, str]) -> Lane:
    match, contract = _compiled(KLINE, stream, rules)
    interval = stream.interval or ""
    step_ms = INTERVAL_MS[interval]
    groups = captured(KLINE.frame)
    order = tuple(groups.index(name) + 1 for name in contract.names if name != "close_ms")
    assert contract.names[1:3] == ("open_ms", "close_ms")

    def take(frame: bytes, at: int, now_ms: int, latest_ms: int) -> Taken | None:
        found = match(frame, at)
        if found is None:
            return None
        event, open_time, *others = found.group(*order)
        event_ms, open_ms, closed = int(event), int(open_time), others[-1] == b"true"
        close_ms = open_ms + step_ms - 1
        latest_of_bar_ms = close_ms if closed else open_ms
        if event_ms > latest_ms or latest_of_bar_ms > latest_ms or open_ms % step_ms:
            return None
        value = contract.received_at(now_ms) % (event, open_time, b"%d" % close_ms, *others)
        if not closed:
            return (value, event_ms, ()) if steps.open_bar(interval, open_ms, event_ms, value) else None
        # Once an interval: its message is kept, and its delivery followed.
        effects = steps.closed_bar(orjson.loads(value))
        return None if effects is None else (None, event_ms, effects)

    return Lane(stream, klines_live_topic(interval), take)


_LANES: Final[Mapping[str, Callable[[Stream, Steps, Mapping[str, str]], Lane]]] = {
    "quote": _quotes,
    "trade": _trades,
    "depth": _diffs,
    "kline": _bars,
}
