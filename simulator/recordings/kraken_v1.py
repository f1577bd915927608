"""Recordings of Kraken's WebSocket v1 in cryptofeed's text format, as the frames that v2 would have sent.

v1 has arrays instead of objects, decimals as strings, its own names of assets, and up to two parts a message;
snapshots have no checksum, trades no id. Digits stay as they were recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from shared.errors import RecordingError

_FRAME: Final = re.compile(r"(\d{10})(?:\.(\d+))?: (.*)", re.DOTALL)
_ANSWER: Final = re.compile(r"(https?://\S+) -> \d{10}(?:\.\d+)?: (.*)", re.DOTALL)
_OTHER: Final = re.compile(r"wss?://\S+ <->? |configuration: ")
_NUMBER: Final = re.compile(r"\d{1,20}(\.\d{1,20})?")
_RENAMED: Final[Mapping[str, str]] = {"XBT": "BTC", "XDG": "DOGE"}
_SIDES: Final = {"b": "buy", "s": "sell"}
_ORDERS: Final = {"m": "market", "l": "limit"}
_MESSAGE_ITEMS: Final = (4, 5)  # channel, one or two parts, name, pair


class RecordedFrame(NamedTuple):
    """One frame as received, and when, in microseconds since the epoch."""

    received_us: int
    body: bytes


class RecordedPairs(NamedTuple):
    """AssetPairs as REST gave it."""

    answer: Mapping[str, Any]


def read_kraken_v1(path: Path, lines: Iterable[str]) -> Iterator[RecordedFrame | RecordedPairs]:
    """Frames in the file's order.

    Raises:
        RecordingError: a line is neither a frame nor an answer of Kraken.
    """
    trade_ids: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\n")
        if found := _FRAME.match(text):
            received_us = int(found[1]) * 1_000_000 + int((found[2] or "").ljust(6, "0")[:6])
            try:
                body = _translated(orjson.loads(found[3]), trade_ids)
            except (LookupError, TypeError, ValueError) as error:  # orjson's is a ValueError
                raise RecordingError(f"{path}, line {number}: no frame of Kraken's v1 ({error})") from None
            if body is not None:
                yield RecordedFrame(received_us, body)
        elif found := _ANSWER.match(text):
            if "kraken.com" not in found[1]:
                raise RecordingError(f"{path}, line {number}: an answer of {found[1][:60]}, not of Kraken")
            if found[1].partition("?")[0].endswith("/AssetPairs"):
                yield RecordedPairs(orjson.loads(found[2])["result"])
        elif text.strip() and not _OTHER.match(text):
            raise RecordingError(f"{path}, line {number}: neither a frame nor an answer: {text[:60]!r}")


def _translated(message: Any, trade_ids: dict[str, int]) -> bytes | None:
    """The frame of v2; None for one that has no counterpart."""
    if isinstance(message, dict):
        return _of_event(message)
    if len(message) not in _MESSAGE_ITEMS:
        raise ValueError("a message of another length")
    *_, name, pair = message
    parts, symbol = message[1:-2], _symbol(pair)
    if name.startswith("book-"):
        return _book(symbol, parts)
    if name == "trade":
        return _trades(symbol, parts[0], trade_ids)
    return None  # tickers have other fields


def _of_event(event: Mapping[str, Any]) -> bytes | None:
    match event["event"]:
        case "heartbeat":
            return b'{"channel":"heartbeat"}'
        case "systemStatus":
            data = [{"system": event["status"], "api_version": "v2", "version": event["version"]}]
            return orjson.dumps({"channel": "status", "type": "update", "data": data})
        case "subscriptionStatus" if event["status"] == "subscribed":
            result = {"channel": event["subscription"]["name"], "symbol": _symbol(event["pair"])}
            return orjson.dumps({"method": "subscribe", "success": True, "result": result})
        case _:
            return None


def _book(symbol: str, parts: list[Mapping[str, Any]]) -> bytes:
    both: dict[str, Any] = {}
    for part in parts:
        both |= part
    is_snapshot = "as" in both or "bs" in both
    bids, asks = both.get("bs" if is_snapshot else "b", []), both.get("as" if is_snapshot else "a", [])
    times = [level[2] for level in (*bids, *asks)]
    checksum = f',"checksum":{_number(both["c"])}' if "c" in both else ""
    return (
        f'{{"channel":"book","type":"{"snapshot" if is_snapshot else "update"}","data":[{{"symbol":"{symbol}"'
        f',"bids":[{_levels(bids)}],"asks":[{_levels(asks)}]{checksum}'
        f',"timestamp":"{_time(max(times, key=float, default="0"))}"}}]}}'
    ).encode()


def _levels(levels: list[list[str]]) -> str:
    return ",".join(f'{{"price":{_number(level[0])},"qty":{_number(level[1])}}}' for level in levels)


def _trades(symbol: str, rows: list[list[str]], trade_ids: dict[str, int]) -> bytes:
    """v1 has no ids: they are counted from 1 on, in the recording's order."""
    texts = []
    for price, quantity, time, side, order, _ in rows:
        trade_ids[symbol] = trade_id = trade_ids.get(symbol, 0) + 1
        texts.append(
            f'{{"symbol":"{symbol}","side":"{_SIDES[side]}","price":{_number(price)},"qty":{_number(quantity)}'
            f',"ord_type":"{_ORDERS[order]}","trade_id":{trade_id},"timestamp":"{_time(time)}"}}'
        )
    return f'{{"channel":"trade","type":"update","data":[{",".join(texts)}]}}'.encode()


def _number(text: str) -> str:
    """A decimal as recorded: as a JSON number it keeps its digits."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no decimal")
    return text


def _time(text: str) -> str:
    """Seconds with a fraction in RFC 3339."""
    whole, _, fraction = text.partition(".")
    second = datetime.fromtimestamp(int(whole), UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{fraction.ljust(6, '0')[:6]}Z"


def _symbol(pair: str) -> str:
    base, quote = pair.split("/")
    return f"{_RENAMED.get(base, base)}/{_RENAMED.get(quote, quote)}"
