"""Frames changed at one place or more, mostly so that a rule of a lane is just broken. Seeded and pure."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Final

import orjson

# Values of a frame; names are followed by a colon.
_VALUE: Final = re.compile(rb'(?<=[:\[,])("[^"]*"(?!:)|-?[0-9]+|true|false)')
_NUMBERS: Final = (
    *(b"0", b"-0", b"-1", b"-2", b"00", b"01", b"+1", b"1.0", b"1.", b".5", b"1e5", b"1E+5", b"1_0", b" 1"),
    *(b"9007199254740991", b"9007199254740992", b"999999999999999", b"1000000000000000", b"9" * 19),
    *(b"9223372036854775807", b"9223372036854775808", b"9" * 25, b"1785767100000000", b"9223372036855"),
    *(b"9999999999999", b"0785767100000", b"178576710000", b"null", b"true", b'"1"', b"[1]", b"NaN"),
)
_DECIMALS: Final = (
    *(
        b"0",
        b"0.0",
        b"0.00000000",
        b"00.0",
        b"-1.0",
        b"+1.0",
        b"1e5",
        b"1.0e-5",
        b"1.",
        b".5",
        b"1..0",
        b"1.0.0",
    ),
    *(b"", b" 1.0", b"1.0 ", b"1,0", b"1" * 20, b"1" * 21, b"0." + b"1" * 20, b"0." + b"1" * 21, b"01.5"),
    *(b"0." + b"0" * 20, b"0" * 20, b"0" * 21, b"0." + b"0" * 21, b"NaN", b"\\u0031", b"\xd9\xa1", b"\xff"),
    *(b"1\x00", b"0x1", b"1_0", b"9" * 20 + b"." + b"9" * 20),
)
_WORDS: Final = (b"true", b"false", b"null", b"1", b"0", b'"true"', b"True", b"TRUE", b"tru", b"[]", b"{}")
_LEVEL: Final = b'["99.50000000","1.00000000"]'
_LEVELS: Final = (
    *(b"[]", b"[" + _LEVEL + _LEVEL + b"]", b"[" + _LEVEL + b",]", b"[," + _LEVEL + b"]", b"[[]]", b"null"),
    *(b"[" + _LEVEL + b", " + _LEVEL + b"]", b'[["99.50000000","1.00000000","0"]]', b'[["99.50000000"]]'),
    *(
        b"[[99.5,1.0]]",
        b'[["99.50000000",1]]',
        b'[["99.50000000","-1.0"]]',
        b'[["9e1","1.0"]]',
        b"[" + _LEVEL,
    ),
    *(b'[{"0":"99.5"}]', b'["99.5","1.0"]', b'[["99.50000000" ,"1.00000000"]]', b"[[]," + _LEVEL + b"]"),
    *(b'[["99.50000000","1.00000000",[]]]', b'[["","1.0"]]', b'[["' + b"9" * 21 + b'","1.0"]]'),
    *(b'[["99.","1.0"]]', b'[[".5","1.0"]]', b"[" + b",".join([_LEVEL] * 3) + b"]"),
)
_PIECES: Final = (
    *(
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b".",
        b"-",
        b"0",
        b"00",
        b"7",
        b"e5",
        b" ",
        b"\\",
        b"\n",
        b"\t",
    ),
    *(
        b"\xc3\xa9",
        b"\\u0030",
        b"null",
        b",,",
        b'","',
        b'"s":"X",',
        b'"t":1,',
        b'"u":1,',
        b'"m":true,',
        b"\x00",
    ),
)
_SIDE: Final = re.compile(rb'"([ba])":(\[.*?\])(?=,"a"|\}\})')
_OTHERS: Final = (b"BTCUSDC", b"fuzzusdc", b"FUZZUSDC2", b"FUZZ\\u0055SDC", b"", b"FUZZUSDC ")


def changed(frame: bytes, chance: random.Random) -> bytes:
    """The frame, changed once, or seldom up to three times."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        frame = chance.choice(_CHANGES)(frame, chance)
    return frame


def _value(frame: bytes, chance: random.Random) -> bytes:
    """Another value where one stands, mostly of its kind and nearly right."""
    values = list(_VALUE.finditer(frame))
    if not values:
        return frame
    found = chance.choice(values)
    text = found[1]
    if chance.random() < 0.05:
        new = chance.choice(_NUMBERS + _WORDS + _LEVELS)
    elif text[:1] == b'"':
        new = b'"' + _text_like(text[1:-1], chance) + b'"'
    elif text[:1] in b"tf":
        new = chance.choice(_WORDS)
    else:
        new = chance.choice(_NUMBERS) if chance.random() < 0.3 else _number_like(text, chance)
    return frame[: found.start()] + new + frame[found.end() :]


def _text_like(text: bytes, chance: random.Random) -> bytes:
    if text[:1].isalpha():
        return chance.choice(_OTHERS)
    if chance.random() < 0.3:
        return chance.choice(_DECIMALS)
    whole, _, places = text.partition(b".")
    return chance.choice(
        (
            *(b"-" + text, b"+" + text, b" " + text, text + b" ", text + b"e1", text + b"E-1", text + b".0"),
            *(whole + b".", b"." + places, whole, whole.rjust(21, b"1") + b".1", whole.rjust(20, b"0")),
            *(whole + b"." + places.ljust(21, b"1"), whole + b"." + places.ljust(20, b"0"), whole + b",1"),
            *(whole + b"..1", text + b"\x00", text + b"\xff", text + b"\\u0031", b"0" * len(whole) + b".0"),
            *(b"0.0", b"0." + b"0" * 9, b"0"),
        )
    )


def _number_like(text: bytes, chance: random.Random) -> bytes:
    return chance.choice(
        (
            *(b"0" + text, b"0" + text[1:], b"-" + text, b"+" + text, b" " + text, text + b" ", text + b".0"),
            *(text + b"e0", text + b"E3", text.ljust(16, b"0"), text.ljust(17, b"9"), text.ljust(20, b"0")),
            *(b'"' + text + b'"', b"[" + text + b"]", text[:-1], text + b"000", b"-2", b"-1", b"0", b"00"),
        )
    )


def _near(frame: bytes, chance: random.Random) -> bytes:
    """A number a little or much greater or less: sequences, clocks, bounds."""
    numbers = list(re.finditer(rb"(?<=:)[0-9]+(?=[,}])", frame))
    if not numbers:
        return frame
    found = chance.choice(numbers)
    by = chance.choice((1, -1, 2, 7, 60_000, -60_000, 600_001, -700_000, 10**9, -(10**9), 10**12))
    return frame[: found.start()] + b"%d" % (int(found[0]) + by) + frame[found.end() :]


def _levels(frame: bytes, chance: random.Random) -> bytes:
    sides = list(_SIDE.finditer(frame))
    if not sides:
        return _value(frame, chance)
    side = chance.choice(sides)
    return frame[: side.start(2)] + chance.choice(_LEVELS) + frame[side.end(2) :]


def _bytes(frame: bytes, chance: random.Random) -> bytes:
    """Some bytes cut out, put in or replaced, anywhere."""
    at = chance.randrange(len(frame) + 1)
    new = chance.choice((b"", bytes([chance.randrange(256)]), chance.choice(_PIECES)))
    return frame[:at] + new + frame[at + chance.choice((0, 0, 1, 1, 2, 12)) :]


def _order(frame: bytes, chance: random.Random) -> bytes:
    """The same fields in another order, or one of them twice, or one left out."""
    try:
        envelope = orjson.loads(frame)
        data = envelope["data"]
        within = data["k"] if "k" in data and chance.random() < 0.5 else data
        fields = list(within.items())
    except (ValueError, LookupError, TypeError, AttributeError):
        return frame
    if not fields:
        return frame
    match chance.randrange(3):
        case 0:
            chance.shuffle(fields)
        case 1:
            del fields[chance.randrange(len(fields))]
        case _:
            fields.insert(chance.randrange(len(fields)), ("extra", chance.randrange(9)))
    within.clear()
    within.update(fields)
    return orjson.dumps(envelope)


def _twice(frame: bytes, chance: random.Random) -> bytes:
    """A field twice: the last holds."""
    fields = list(re.finditer(rb'"[A-Za-z]":("[^"]*"|[0-9]+|true|false)[,}]', frame))
    if not fields:
        return frame
    field = chance.choice(fields)
    again = field[0][:-1]
    if chance.random() < 0.5:
        again = _VALUE.sub(lambda value: value[0][:1] + b"1" + value[0][1:], again)
    return frame[: field.start()] + again + b"," + frame[field.start() :]


_CHANGES: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    *(_value,) * 10,
    *(_near,) * 3,
    *(_levels,) * 3,
    *(_bytes,) * 3,
    _order,
    _twice,
)
