"""What a frame is by the contract, told without the code that reads it.

Source of the rules: DESIGN §4.2, BINANCE_SPOT.md §2.4, §3, §4.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, NamedTuple

import orjson

_STEP_MS: Final = {"1s": 1_000, "1m": 60_000, "3m": 180_000, "5m": 300_000, "15m": 900_000, "30m": 1_800_000}
_HOURS: Final = {"1h": 1, "2h": 2, "4h": 4, "6h": 6, "8h": 8, "12h": 12, "1d": 24}
STEP_MS: Final = _STEP_MS | {name: hours * 3_600_000 for name, hours in _HOURS.items()}
_END_OF_MS: Final = 9_223_372_036_854  # the year 2262; from here on a time is in microseconds
_DECIMAL: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
_TOLD_MS: Final = 600_000

What = Literal["right", "wrong", "not ours", "control", "farewell"]


class Classification(NamedTuple):
    """
    Attributes:
        fields: what the message on Kafka must say, where the frame is right; "kind" is its kind.
    """

    what: What
    fields: dict[str, Any] = {}  # noqa: RUF012  # never written


def classify(frame: bytes, latest_ms: int) -> Classification:
    """`latest_ms`: the latest time that the exchange's clock can say."""
    try:
        envelope = orjson.loads(frame)
    except orjson.JSONDecodeError:
        envelope = None
    if type(envelope) is not dict:
        return Classification("wrong")
    event = envelope.get("data")
    if type(event) is not dict:
        return Classification(_without_event(envelope))
    stream, kind = envelope.get("stream"), event.get("e")
    if "e" not in event and type(stream) is str and stream.endswith("@bookTicker"):
        kind = "bookTicker"
    elif kind not in ("trade", "depthUpdate", "kline") or type(kind) is not str:
        return Classification(_of_another_kind(stream, event))
    try:
        _held(None, envelope.get("receivedTime") is None)  # else it is a recording's, in a live stream
        fields = {"trade": _trade, "depthUpdate": _depth, "kline": _kline, "bookTicker": _quote}[kind](
            event, latest_ms
        )
        fields["symbol"] = _held(event["s"], type(event["s"]) is str and 1 <= len(event["s"]) <= 64)
    except (KeyError, _Wrong):
        return Classification("wrong")
    return Classification("right", fields)


def _without_event(envelope: dict[str, Any]) -> What:
    if envelope.get("e") == "serverShutdown":
        return "farewell"
    error = envelope.get("error", envelope if "code" in envelope else None)
    if type(error) is dict or "result" in envelope:
        return "control"
    return "not ours" if type(envelope.get("e")) is str else "wrong"


def _of_another_kind(stream: Any, event: dict[str, Any]) -> What:
    if "e" in event:
        if type(event["e"]) is str:
            return "farewell" if event["e"] == "serverShutdown" else "not ours"
        return "wrong"
    if type(stream) is not str:
        return "wrong"
    ours = stream.endswith(("@trade", "@depth@100ms")) or "@kline_" in stream
    return "wrong" if ours else "not ours"


class _Wrong(Exception):
    pass


def _held(value: Any, right: bool) -> Any:
    if not right:
        raise _Wrong
    return value


def _time(value: Any, latest_ms: int) -> int:
    _held(value, type(value) is int and 0 <= value < _END_OF_MS * 1_000)
    time_ms: int = value if value < _END_OF_MS else value // 1_000
    return int(_held(time_ms, time_ms <= latest_ms))


def _integer(value: Any, least: int, most: int) -> Any:
    return _held(value, type(value) is int and least <= value <= most)


def _number(value: Any) -> Any:
    return _held(value, type(value) is str and _DECIMAL.fullmatch(value) is not None)


def _trade(event: dict[str, Any], latest_ms: int) -> dict[str, Any]:
    event_ms, trade_ms = _time(event["E"], latest_ms), _time(event["T"], latest_ms)
    _held(None, event_ms - trade_ms <= _TOLD_MS)
    return {
        "kind": "trade",
        "event_time_ms": event_ms,
        "trade_time_ms": trade_ms,
        "trade_id": _integer(event["t"], 0, 2**53 - 1),
        "price": _number(event["p"]),
        "quantity": _number(event["q"]),
        "buyer_is_maker": _held(event["m"], type(event["m"]) is bool),
    }


def _depth(event: dict[str, Any], latest_ms: int) -> dict[str, Any]:
    first, last = _integer(event["U"], 0, 2**53 - 1), _integer(event["u"], 0, 2**53 - 1)
    _held(None, first <= last)
    return {
        "kind": "depth",
        "event_time_ms": _time(event["E"], latest_ms),
        "first_update_id": first,
        "final_update_id": last,
        "bids": _levels(event["b"]),
        "asks": _levels(event["a"]),
    }


def _levels(value: Any) -> Any:
    _held(value, type(value) is list)
    for level in value:
        _held(level, type(level) is list and len(level) == 2)
        for text in level:
            _number(text)
    return value


def _quote(event: dict[str, Any], _latest_ms: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"kind": "quote", "update_id": _integer(event["u"], 0, 2**53 - 1)}
    for side, price, quantity in (("bid", event["b"], event["B"]), ("ask", event["a"], event["A"])):
        there = _is_above_zero(price) & _is_above_zero(quantity)  # both are looked at
        fields[f"{side}_price"], fields[f"{side}_quantity"] = (price, quantity) if there else (None, None)
    return fields


def _is_above_zero(text: Any) -> bool:
    return any(sign not in "0." for sign in _number(text))


def _kline(event: dict[str, Any], latest_ms: int) -> dict[str, Any]:
    bar = event["k"]
    _held(bar, type(bar) is dict)
    interval, closed = bar["i"], bar["x"]
    _held(interval, type(interval) is str and interval in STEP_MS)
    _held(closed, type(closed) is bool)
    open_ms, step = _time(bar["t"], latest_ms), STEP_MS[interval]
    _held(open_ms, open_ms % step == 0 and (not closed or open_ms + step - 1 <= latest_ms))
    numbers = {"open": "o", "high": "h", "low": "l", "close": "c", "base_volume": "v", "quote_volume": "q"}
    numbers |= {"taker_buy_base_volume": "V", "taker_buy_quote_volume": "Q"}
    fields = {name: _number(bar[letter]) for name, letter in numbers.items()}
    for name, letter in (("first_trade_id", "f"), ("last_trade_id", "L")):
        fields[name] = None if bar[letter] is None else _integer(bar[letter], -1, 2**53 - 1)
    return fields | {
        "kind": "kline",
        "event_time_ms": _time(event["E"], latest_ms),
        "interval": interval,
        "open_time_ms": open_ms,
        "close_time_ms": open_ms + step - 1,
        "trade_count": _integer(bar["n"], 0, 2**63 - 1),
        "closed": closed,
    }
