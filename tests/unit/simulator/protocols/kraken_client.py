"""What a client of Kraken's v2 may rely on, written from COINBASE_KRAKEN.md §4 alone."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any
from zlib import crc32

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
SYSTEMS = {"online", "cancel_only", "maintenance", "post_only"}


class Number(str):
    """The text of a JSON number with a fraction."""

    __slots__ = ()


def read(text: str) -> dict[str, Any]:
    message = json.loads(text, parse_float=Number)
    assert isinstance(message, dict)
    return message


def crc(asks: list[tuple[str, str]], bids: list[tuple[str, str]]) -> int:
    """Of the best ten (price, quantity) of each side, as text of the wire."""
    parts = [part for side in (asks, bids) for level in side[:10] for part in level]
    return crc32("".join(part.replace(".", "").lstrip("0") for part in parts).encode())


class KrakenBook:
    """A book of one pair and depth, checked after every message."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.sides: dict[str, dict[Decimal, tuple[str, str]]] = {"asks": {}, "bids": {}}
        self.mismatches = 0
        self.messages = 0

    def apply(self, message: dict[str, Any]) -> None:
        (entry,) = message["data"]
        if message["type"] == "snapshot":
            self.sides = {"asks": {}, "bids": {}}
        for name, side in self.sides.items():
            for level in entry[name]:
                price = Decimal(level["price"])
                if Decimal(level["qty"]):
                    side[price] = (level["price"], level["qty"])
                else:
                    side.pop(price, None)
            for price in self.prices(name)[self.depth :]:
                del side[price]
        self.messages += 1
        self.mismatches += entry["checksum"] != self.checksum()

    def prices(self, name: str) -> list[Decimal]:
        """Best first."""
        return sorted(self.sides[name], reverse=name == "bids")

    def checksum(self) -> int:
        asks, bids = ([self.sides[name][price] for price in self.prices(name)] for name in ("asks", "bids"))
        return crc(asks, bids)


def check(message: dict[str, Any]) -> None:
    """Fail on a message that the reference does not know."""
    if "method" in message:
        _check_reply(message)
        return
    if message == {"channel": "heartbeat"}:
        return
    assert message.keys() == {"channel", "type", "data"} and message["type"] in ("snapshot", "update")
    if message["channel"] == "instrument":
        assert message["data"].keys() == {"assets", "pairs"}
        for pair in message["data"]["pairs"]:
            _check_pair(pair)
        return
    assert isinstance(message["data"], list) and message["data"]
    for entry in message["data"]:
        assert message["channel"] == "status" or re.fullmatch(r"\w+/\w+", entry["symbol"])
        _CHECKS[message["channel"]](entry)


def _check_reply(message: dict[str, Any]) -> None:
    assert INSTANT.fullmatch(message["time_in"]) and INSTANT.fullmatch(message["time_out"])
    if message["method"] == "pong":
        return
    assert message["method"] in ("subscribe", "unsubscribe")
    assert type(message["success"]) is bool
    assert ("result" in message) == message["success"] and ("error" in message) != message["success"]
    if message["success"] and message["result"]["channel"] != "instrument":
        assert "/" in message["result"]["symbol"]


def _check_status(entry: dict[str, Any]) -> None:
    assert entry["system"] in SYSTEMS and entry["api_version"] == "v2"
    assert type(entry["connection_id"]) is int and entry["version"]


def _check_trade(entry: dict[str, Any]) -> None:
    assert entry.keys() == {"symbol", "side", "price", "qty", "ord_type", "trade_id", "timestamp"}
    assert entry["side"] in ("buy", "sell") and entry["ord_type"] in ("limit", "market")
    assert type(entry["trade_id"]) is int and INSTANT.fullmatch(entry["timestamp"])
    _check_decimals(entry["price"], entry["qty"])


def _check_book(entry: dict[str, Any]) -> None:
    assert entry.keys() == {"symbol", "bids", "asks", "checksum", "timestamp"}
    assert type(entry["checksum"]) is int and 0 <= entry["checksum"] < 2**32
    for level in (*entry["bids"], *entry["asks"]):
        assert level.keys() == {"price", "qty"}
        _check_decimals(level["price"], level["qty"])


def _check_ticker(entry: dict[str, Any]) -> None:
    assert entry.keys() >= {
        "symbol", "bid", "bid_qty", "ask", "ask_qty", "last", "volume", "vwap", "low", "high", "change",
        "change_pct",
    }  # fmt: skip
    assert Decimal(entry["bid"]) < Decimal(entry["ask"])
    assert Decimal(entry["low"]) <= Decimal(entry["vwap"]) <= Decimal(entry["high"])
    _check_decimals(entry["bid"], entry["bid_qty"])


def _check_pair(pair: dict[str, Any]) -> None:
    assert pair["symbol"] == f"{pair['base']}/{pair['quote']}"
    assert pair["status"] in ("online", "maintenance")
    assert Decimal(pair["price_increment"]) == Decimal(1).scaleb(-pair["price_precision"])


def _check_decimals(price: object, quantity: object) -> None:
    """Numbers, not strings; quantities with all of their places."""
    assert isinstance(price, Number) and isinstance(quantity, Number)
    assert re.fullmatch(r"\d+\.\d+", price) and re.fullmatch(r"\d+\.\d{8}", quantity)


_CHECKS = {"status": _check_status, "trade": _check_trade, "book": _check_book, "ticker": _check_ticker}
