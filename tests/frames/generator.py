"""Frames, answers of REST and records of Kafka, each changed at one place or more. Seeded and pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import orjson

from tests.frames.extremes import ALL, DECIMALS, INTEGERS, LEVELS, Raw, chosen, extreme

# One in so many has a value of up to 800 kB.
_HUGE: Final = 0.0004
_ENVELOPE: Final = ("stream", "data", "id", "result", "error", "code", "msg", "receivedTime", "e")
_FIELDS: Final = "eEsktTpqmMuUbaBAiohlcvnxVQfL"
_NO_OBJECTS: Final = (
    b"",
    b"[]",
    b"1",
    b"null",
    b'"x"',
    b"true",
    b"{}",
    b"[[1]]",
    b"\0",
    b"\xef\xbb\xbf{}",
    b" ",
)
_ENDS: Final = (b"}", b",", b"x", b"{}", b"\0", b"\xff")


class Generator:
    """Changes right values; the same seed gives the same changes."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        # Weights: values and types above all, since all else is refused by the reader of JSON already.
        self._damages: tuple[Callable[[Any], bytes], ...] = (
            *(self._value,) * 10,
            *(self._values,) * 3,
            *(self._left_out,) * 2,
            self._twice,
            self._envelope,
            self._control,
            self._cut,
            self._turned,
            self._around,
        )

    def broken(self, whole: Any) -> bytes:
        """The text of a value, changed; the value is used up."""
        return self.chance.choice(self._damages)(whole)

    def _extreme_for(self, old: Any) -> Any:
        """Mostly of the type that stood there, since others are found out first."""
        chance = self.chance
        if chance.random() < 0.5:
            match old:
                case bool():
                    return chosen(chance, (None, 0, 1, "true", [], {}))
                case int():
                    return chosen(chance, INTEGERS)
                case str():
                    return chosen(chance, DECIMALS)
                case list():
                    return chosen(chance, LEVELS)
        return extreme(chance, _HUGE)

    def _place(self, whole: Any) -> tuple[Any, Any]:
        """A container within, and the name or number of one of its values."""
        chance, at = self.chance, whole
        while True:
            name = chance.choice(list(at)) if type(at) is dict else chance.randrange(len(at))
            inner = at[name]
            if type(inner) in (dict, list) and inner and chance.random() < 0.85:
                at = inner
                continue
            return at, name

    def _value(self, whole: Any) -> bytes:
        at, name = self._place(whole)
        at[name] = self._extreme_for(at[name])
        return orjson.dumps(whole)

    def _values(self, whole: Any) -> bytes:
        for _ in range(self.chance.randrange(2, 5)):
            at, name = self._place(whole)
            if type(at[name]) not in (dict, list):
                at[name] = self._extreme_for(at[name])
        return orjson.dumps(whole)

    def _left_out(self, whole: Any) -> bytes:
        at, name = self._place(whole)
        del at[name]
        return orjson.dumps(whole)

    def _twice(self, whole: Any) -> bytes:
        """A name that an object has twice: the last holds."""
        at, name = self._place(whole)
        if type(at) is dict:
            again = {**at, name: self._extreme_for(at[name])}
            text = orjson.dumps(at)[:-1] + b"," + orjson.dumps(again)[1:]
            at.clear()
            at[""] = Raw(text)
            return orjson.dumps(whole).replace(b'{"":' + text + b"}", text)
        at.insert(name, self._extreme_for(at[name]))
        return orjson.dumps(whole)

    def _envelope(self, whole: Any) -> bytes:
        """Names of the envelope or of events, put where they do not belong."""
        if type(whole) is not dict:
            return orjson.dumps([whole, extreme(self.chance, _HUGE)])
        at = whole if self.chance.random() < 0.7 else self._place(whole)[0]
        if type(at) is dict:
            names = _ENVELOPE if at is whole else _FIELDS
            at[self.chance.choice(names)] = extreme(self.chance, _HUGE)
        return orjson.dumps(whole)

    def _control(self, _whole: Any) -> bytes:
        """A control reply of any shape."""
        chance = self.chance
        value, other = extreme(chance, _HUGE), chosen(chance, ALL)
        return orjson.dumps(
            chance.choice(
                (
                    {"result": value, "id": other},
                    {"result": None, "id": value},
                    {"error": value, "id": other},
                    {"error": {"code": other, "msg": value}, "id": 1},
                    {"code": value, "msg": other, "id": 1},
                    {"e": value},
                    {"stream": value},
                    {"stream": value, "data": other},
                )
            )
        )

    def _cut(self, whole: Any) -> bytes:
        text = orjson.dumps(whole)
        return text[: self.chance.randrange(len(text))]

    def _turned(self, whole: Any) -> bytes:
        text = bytearray(orjson.dumps(whole))
        for _ in range(self.chance.choice((1, 1, 3))):
            text[self.chance.randrange(len(text))] = self.chance.choice(
                (0, 1, 0x1B, 0x80, 0xC0, 0xFF, 34, 91, 125)
            )
        return bytes(text)

    def _around(self, whole: Any) -> bytes:
        chance, text = self.chance, orjson.dumps(whole)
        arounds: tuple[Callable[[], bytes], ...] = (
            lambda: chance.choice(_NO_OBJECTS),
            lambda: text + chance.choice(_ENDS),
            lambda: b"\xef\xbb\xbf" + text,
            lambda: text.decode().encode("utf-16"),
            lambda: b"[" + text + b"]",
            lambda: orjson.dumps(text.decode()),
            lambda: b'{"data":' * chance.choice((3, 500, 5_000)) + text,
            lambda: chance.randbytes(chance.randrange(1, 200)),
        )
        return chance.choice(arounds)()
