"""Frames of an exchange that are broken by construction, seeded: no parser is asked whether they are."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

Frame = dict[str, Any]

_NO_INTEGER: Final[tuple[Any, ...]] = (None, "1", "", 1.5, [], [1], {"a": 1}, -1, 2**63)
_NO_DECIMAL: Final[tuple[Any, ...]] = (
    *(None, 1, 1.5, True, [], {}, "", " 1", "NaN", "Infinity", "-1", "1,0", "0x1", "1" * 400),
)
_NO_TEXT: Final[tuple[Any, ...]] = (None, 5, True, [], {})
_NO_FLAG: Final[tuple[Any, ...]] = (None, 0, 1, "true", [], {})
_NO_LEVELS: Final[tuple[Any, ...]] = (
    *(None, 5, "x", {}, [[]], [["1"]], [["1", 2]], [["x", "1"]], [["1", "1", "1"]], [None]),
)

# Event kind → the letters that are read, and what none of them may be.
_WRONG: Final[dict[str, dict[str, tuple[Any, ...]]]] = {
    "trade": {
        **dict.fromkeys(("E", "t", "T"), _NO_INTEGER),
        **dict.fromkeys(("p", "q"), _NO_DECIMAL),
        "m": _NO_FLAG,
        "s": _NO_TEXT,
    },
    "depthUpdate": {
        **dict.fromkeys(("E", "U", "u"), _NO_INTEGER),
        **dict.fromkeys(("b", "a"), _NO_LEVELS),
        "s": _NO_TEXT,
    },
    "bookTicker": {
        "u": _NO_INTEGER,
        **dict.fromkeys(("b", "B", "a", "A"), _NO_DECIMAL),
        "s": _NO_TEXT,
    },
    "kline": {"E": _NO_INTEGER, "s": _NO_TEXT, "k": (None, 5, "x", [], {})},
    "bar": {
        **dict.fromkeys(("t", "n"), _NO_INTEGER),
        **dict.fromkeys(("o", "h", "l", "c", "v", "q", "V", "Q"), _NO_DECIMAL),
        "x": _NO_FLAG,
        "i": (*_NO_TEXT, "7m", ""),
    },
}


def frame(kind: str, symbol: str, time_ms: int, number: int) -> Frame:
    """A right frame of a combined connection; `number` is its trade id, update id or minute."""
    common = {"s": symbol} if kind == "bookTicker" else {"e": kind, "E": time_ms, "s": symbol}
    match kind:
        case "trade":
            name, rest = "trade", {"t": number, "T": time_ms, "p": "100.0", "q": "1.0", "m": False, "M": True}
        case "depthUpdate":
            name, rest = "depth@100ms", {"U": number, "u": number, "b": [["99.0", "1.0"]], "a": []}
        case "bookTicker":
            name, rest = "bookTicker", {"u": number, "b": "99.0", "B": "1.0", "a": "101.0", "A": "1.0"}
        case _:
            open_time_ms = number * 60_000
            prices = {
                **dict.fromkeys(("o", "h", "l", "c"), "100.0"),
                **dict.fromkeys(("v", "q", "V", "Q"), "1.0"),
            }
            times = {
                "t": open_time_ms,
                "T": open_time_ms + 59_999,
                "i": "1m",
                "f": 1,
                "L": 3,
                "n": 3,
                "x": False,
            }
            name, rest = "kline_1m", {"k": {**times, **prices, "s": symbol, "B": "0"}}
    return {"stream": f"{symbol.lower()}@{name}", "data": {**common, **rest}}


def _place(chance: random.Random, whole: Frame) -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
    """An object of the frame whose fields are read, and what they may not be."""
    data = whole["data"]
    if "k" in data and chance.random() < 0.7:
        return data["k"], _WRONG["bar"]
    return data, _WRONG[data.get("e", "bookTicker")]


def _wrong_value(chance: random.Random, whole: Frame) -> bytes:
    fields, wrong = _place(chance, whole)
    name = chance.choice(list(wrong))
    fields[name] = chance.choice(wrong[name])
    return orjson.dumps(whole)


def _left_out(chance: random.Random, whole: Frame) -> bytes:
    fields, wrong = _place(chance, whole)
    del fields[chance.choice(list(wrong))]
    return orjson.dumps(whole)


def _no_kind(chance: random.Random, whole: Frame) -> bytes:
    whole["stream"] = whole["stream"].partition("@")[0] + "@trade"
    whole["data"]["e"] = chance.choice((None, 5, [], {}, "left out"))
    if whole["data"]["e"] == "left out":
        del whole["data"]["e"]
    return orjson.dumps(whole)


def _cut(chance: random.Random, whole: Frame) -> bytes:
    text = orjson.dumps(whole)
    return text[: chance.randrange(len(text))]


def _turned(chance: random.Random, whole: Frame) -> bytes:
    """One byte that JSON has nowhere."""
    text = bytearray(orjson.dumps(whole))
    text[chance.randrange(len(text))] = chance.choice((0, 1, 0xFF, 0xC0))
    return bytes(text)


_NO_OBJECTS: Final = (b"[]", b"1", b"null", b'"text"', b"true", b"[[1]]", b"{}", b'{"stream":"x"}')
_DAMAGES: Final[tuple[Callable[[random.Random, Frame], bytes], ...]] = (
    _wrong_value,
    _wrong_value,
    _left_out,
    _no_kind,
    _cut,
    _turned,
    lambda chance, whole: chance.randbytes(chance.randrange(1, 200)) + b"\xff",
    lambda chance, whole: chance.choice(_NO_OBJECTS),
    lambda chance, whole: orjson.dumps(whole) + chance.choice((b"}", b",", b"x", b"{}")),
    lambda chance, whole: b'{"data":' * chance.choice((3, 500, 5_000)),
    lambda chance, whole: orjson.dumps({**whole, "data": chance.choice((None, 5, [], "x", [whole["data"]]))}),
)


def bad_frames(seed: int, count: int, symbol: str, time_ms: int) -> Iterator[bytes]:
    """So many frames, none of which may be taken for an event."""
    chance = random.Random(seed)
    kinds = ("trade", "depthUpdate", "bookTicker", "kline")
    for number in range(count):
        whole = frame(chance.choice(kinds), symbol, time_ms, 1 + number % 1_000)
        yield chance.choice(_DAMAGES)(chance, whole)
