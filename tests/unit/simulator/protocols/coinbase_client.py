"""What a client of Advanced Trade may rely on, written from COINBASE_KRAKEN.md §2 alone."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
DECIMAL = re.compile(r"\d+(\.\d+)?")


def read(text: str) -> dict[str, Any]:
    message = json.loads(text)
    assert isinstance(message, dict)
    return message


class CoinbaseBook:
    """A book of one product: price by side, quantities as text."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, str]] = {"bid": {}, "offer": {}}
        self.messages = 0

    def apply(self, event: dict[str, Any]) -> None:
        self.messages += 1
        if event["type"] == "snapshot":
            self.sides = {"bid": {}, "offer": {}}
        for update in event["updates"]:
            side, price = self.sides[update["side"]], Decimal(update["price_level"])
            if Decimal(update["new_quantity"]):
                side[price] = update["new_quantity"]
            else:
                side.pop(price, None)
        assert max(self.sides["bid"]) < min(self.sides["offer"])

    def best(self, side: str, count: int) -> list[tuple[Decimal, str]]:
        prices = sorted(self.sides[side], reverse=side == "bid")[:count]
        return [(price, self.sides[side][price]) for price in prices]


def check(message: dict[str, Any]) -> None:
    """Fail on a message that the reference does not know."""
    if message.get("type") == "error":
        assert message["message"]
        return
    assert list(message) == ["channel", "timestamp", "sequence_num", "events"]
    assert STAMP.fullmatch(message["timestamp"]) and type(message["sequence_num"]) is int
    (event,) = message["events"]
    match message["channel"]:
        case "subscriptions":
            assert event.keys() == {"subscriptions"}
        case "heartbeats":
            assert re.fullmatch(r"\d{4}-\d\d-\d\d .* \+0000 UTC m=\+[\d.]+", event["current_time"])
            assert int(event["heartbeat_counter"]) > 0
        case channel:
            assert event["type"] in ("snapshot", "update")
            for entry in event[_LISTS[channel]]:
                _CHECKS[channel](entry)


def _check_trade(entry: dict[str, Any]) -> None:
    assert entry.keys() == {"product_id", "trade_id", "price", "size", "time", "side"}
    assert entry["side"] in ("BUY", "SELL") and INSTANT.fullmatch(entry["time"])
    assert entry["trade_id"].isdecimal() and "-" in entry["product_id"]
    assert DECIMAL.fullmatch(entry["price"]) and DECIMAL.fullmatch(entry["size"])


def _check_level(entry: dict[str, Any]) -> None:
    assert entry.keys() == {"side", "event_time", "price_level", "new_quantity"}
    assert entry["side"] in ("bid", "offer") and INSTANT.fullmatch(entry["event_time"])
    assert DECIMAL.fullmatch(entry["price_level"]) and DECIMAL.fullmatch(entry["new_quantity"])


def _check_ticker(entry: dict[str, Any]) -> None:
    assert entry["type"] == "ticker" and Decimal(entry["best_bid"]) < Decimal(entry["best_ask"])
    assert Decimal(entry["low_24_h"]) <= Decimal(entry["price"]) <= Decimal(entry["high_24_h"])


def _check_status(entry: dict[str, Any]) -> None:
    assert entry["id"] == f"{entry['base_currency']}-{entry['quote_currency']}"
    assert entry["status"] in ("online", "offline")


_LISTS = {"market_trades": "trades", "l2_data": "updates", "ticker": "tickers", "status": "products"}
_CHECKS = {
    "market_trades": _check_trade, "l2_data": _check_level, "ticker": _check_ticker, "status": _check_status,
}  # fmt: skip
