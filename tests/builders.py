"""Messages with sensible defaults; tests name only what they are about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from producers.exchanges.binance.exchange import BINANCE
from producers.exchanges.binance.parse import parse_frame
from producers.exchanges.binance.streams import open_with
from producers.exchanges.frame_types import LATEST_MS, Parsed, Stream
from producers.exchanges.port import Addresses, Plan
from shared.messages import BookMessage, DepthMessage, KlineMessage, LedgerMessage, QuoteMessage, TradeMessage

NOW_MS = 1_785_767_100_000  # 2026-08-03T14:25:00Z


def _common(**fields: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "exchange": "binance",
        "symbol": "BTCUSDC",
        "event_time_ms": NOW_MS,
        "received_time_ms": NOW_MS + 5,
        "source": "stream",
        **fields,
    }


def _arrived(message: dict[str, Any], happened_ms: int, fields: dict[str, Any]) -> dict[str, Any]:
    """The message with the fields given; what is not given of its times is not before it happened."""
    event_ms = message["event_time_ms"]
    if event_ms is not None and "event_time_ms" not in fields:
        message["event_time_ms"] = event_ms = max(event_ms, happened_ms)
    known_ms = [message["received_time_ms"] - 5, happened_ms, fields.get("event_time_ms") or event_ms or 0]
    return message | {"received_time_ms": max(known_ms) + 5} | fields


def kline(**fields: Any) -> KlineMessage:
    """A closed 1m bar."""
    bar: dict[str, Any] = {
        "interval": "1m",
        "open_time_ms": NOW_MS - 60_000,
        "close_time_ms": NOW_MS - 1,
        "open": "100.00000000",
        "high": "102.00000000",
        "low": "99.00000000",
        "close": "101.00000000",
        "base_volume": "10.00000000",
        "quote_volume": "1005.00000000",
        "trade_count": 12,
        "taker_buy_base_volume": "6.00000000",
        "taker_buy_quote_volume": "603.00000000",
        "first_trade_id": 1,
        "last_trade_id": 12,
        "closed": True,
    }
    if "open_time_ms" in fields and "close_time_ms" not in fields:
        bar["close_time_ms"] = fields["open_time_ms"] + 59_999
    given = bar | fields
    happened_ms = max(given["close_time_ms"] + 1 if given["closed"] else 0, given["open_time_ms"])
    return cast(KlineMessage, _arrived(_common(**bar), happened_ms, fields))


def trade(**fields: Any) -> TradeMessage:
    values = {
        "trade_id": 1,
        "price": "100.00000000",
        "quantity": "0.50000000",
        "trade_time_ms": NOW_MS,
        "buyer_is_maker": False,
    }
    return cast(TradeMessage, _arrived(_common(**values), fields.get("trade_time_ms", NOW_MS), fields))


def depth(**fields: Any) -> DepthMessage:
    values = {
        "kind": "diff",
        "first_update_id": 101,
        "final_update_id": 105,
        "bids": [["100.00000000", "1.00000000"]],
        "asks": [["101.00000000", "0.00000000"]],
    }
    return cast(DepthMessage, _arrived(_common(**values), 0, fields))


def book(**fields: Any) -> BookMessage:
    values = {
        "update_id": 105,
        "bids": [["100.00000000", "1.00000000"]],
        "asks": [["101.00000000", "2.00000000"]],
        "synced": True,
        "age_ms": 0,
    }
    return cast(BookMessage, _arrived(_common(**values), 0, fields))


def quote(**fields: Any) -> QuoteMessage:
    values = {
        "update_id": 105,
        "bid_price": "100.00000000",
        "bid_quantity": "1.00000000",
        "ask_price": "101.00000000",
        "ask_quantity": "2.00000000",
    }
    return cast(QuoteMessage, _common(event_time_ms=None, **values) | fields)


def ledger(**fields: Any) -> LedgerMessage:
    values = {
        "stream": "trades",
        "interval": None,
        "kind": "expected",
        "first": 1,
        "last": 10,
        "count": 10,
        "detail": None,
    }
    return cast(LedgerMessage, _arrived(_common(**values), 0, fields))


BUILDERS: dict[str, Callable[..., Any]] = {
    "kline": kline,
    "trade": trade,
    "depth": depth,
    "book": book,
    "quote": quote,
    "ledger": ledger,
}


def plan(host: str = "ws://exchange.example", streams: Sequence[Stream] | None = None, **fields: Any) -> Plan:
    """A connection of Binance to `host`, by default with the streams of one symbol."""
    [made] = BINANCE.connections(Addresses("", host, ""), ["BTCUSDC"], ["1m"])
    if streams is not None:
        url, opening = open_with(host, streams)
        made = replace(made, url=url, streams=tuple(streams), opening=tuple(opening))
    return replace(made, **fields)


def event_of(frame: bytes | str, now_ms: int, latest_ms: int = LATEST_MS - 1) -> Parsed:
    """The one event of a frame of Binance."""
    [event] = parse_frame(frame, now_ms, latest_ms)
    return event
