"""Values at their extremes, and JSON text that says them: some of it Python itself could not write."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

import orjson

# JSON text, or what looks like it, that is put where a value stands.
Raw = orjson.Fragment


# Integers around every bound that a reader may have: signs, 2^31, 2^53, int64, uint64, float.
INTEGERS: Final = (
    *(0, 1, -1, 2**31 - 1, 2**31, 2**32, 2**53 - 1, 2**53, 2**53 + 1),
    *(2**63 - 1, 2**63, -(2**63), Raw(b"-9223372036854775809"), Raw(b"18446744073709551615")),
    *(Raw(b"18446744073709551616"), Raw(b"1e19"), Raw(b"1" + b"0" * 400), Raw(b"-0"), Raw(b"1" * 5_000)),
)
NUMBERS: Final = (
    *(1.5, -0.0, Raw(b"1e400"), Raw(b"-1e400"), Raw(b"1e-400"), Raw(b"1E+2"), Raw(b"0.1e1")),
    *(Raw(b"NaN"), Raw(b"Infinity"), Raw(b"-Infinity"), Raw(b"01"), Raw(b"+1"), Raw(b".5"), Raw(b"0x10")),
)
DECIMALS: Final = (
    *("", " 1", "1 ", "-1", "+1", "1,5", "0x1", "1e3", "1E-8", "NaN", "Infinity", "1_000", ".5", "5."),
    *("\uff11\uff12", "\u0661", "1\u0000", "1" * 20, "1" * 21, "0." + "0" * 20, "0." + "0" * 21, "1" * 5_000),
    *("9" * 20 + "." + "9" * 20, "0", "00", "0.0", "-0.0", "1.0.0", "\u2212" + "1"),
)
TEXTS: Final = (
    *("", "\0", "\n", "\x1b[2J\x1b]0;x\x07", "\u202e", "\u200b", "\ufeff", "a" * 64, "a" * 65),
    *(
        "\u5e01\u5b89\u4eba\u751fUSDT",
        "\U0001f600" * 64,
        "\u00df" * 40,
        "%s%n{}",
        "a,b=c d",
        "../../x",
        "'\";--",
    ),
    *(
        Raw(b'"\\ud800"'),
        Raw(b'"\\udfff\\ud800"'),
        Raw(b'"\xff\xfe"'),
        Raw(b'"\xc0\x80"'),
        Raw(b'"\xed\xa0\x80"'),
    ),
    *(Raw(b'"\\x"'), Raw(b'"a\nb"'), Raw(b'"\\u00"')),
)
OTHERS: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    {"": {}},
    [1, 2, 3],
    Raw(b""),
    Raw(b"undefined"),
)
ALL: Final = (*INTEGERS, *NUMBERS, *DECIMALS, *TEXTS, *OTHERS)
LEVELS: Final[tuple[Any, ...]] = (
    *([[]], [["1"]], [["1", 2]], [["x", "1"]], [["1", "1", "1"]], [None], [["1", "1"], None]),
    *(
        [["1" * 20, "1"]],
        [["1" * 21, "1"]],
        [["1", "1"]] * 300,
        [["0.0", "0.0"]],
        [["1", "-1"]],
        [["1", "NaN"]],
    ),
    *({"0": ["1", "1"]}, "[]", [["\uff11", "1"]], [[True, True]], [[["1"], ["1"]]]),
)


def nested(chance: random.Random) -> Raw:
    """A value nested around the depths at which readers, writers and Python itself give up."""
    depth = chance.choice((8, 100, 253, 254, 255, 256, 500, 900, 990, 1_000, 1_020, 1_024, 1_025, 3_000))
    opened, inner, closed = chance.choice(
        ((b"[", b"1", b"]"), (b'{"a":', b"1", b"}"), (b"[", b"", b"]"), (b'[{"a":', b"[]", b"}]"))
    )
    return Raw(opened * depth + inner + closed * depth)


def huge(chance: random.Random, most: int = 800_000) -> Raw:
    """A value as long as a frame may be."""
    size = chance.choice((5_000, 66_000, 420_000, most))
    match chance.randrange(4):
        case 0:
            return Raw(b'"' + b"x" * size + b'"')
        case 1:
            return Raw(b'"' + b"\\u0001" * (size // 6) + b'"')
        case 2:
            return Raw(b"[" + b"1," * (size // 2) + b"1]")
        case _:
            return Raw(b'[["1.0","1.0"]' + b',["1.0","1.0"]' * (size // 14) + b"]")


def extreme(chance: random.Random, rare_huge: float) -> Any:
    """Any of them."""
    where = chance.random()
    if where < rare_huge:
        return huge(chance)
    return nested(chance) if where < 0.02 + rare_huge else chosen(chance, ALL)


def chosen(chance: random.Random, values: Sequence[Any]) -> Any:
    """One of the values; of a container a copy, since what it is put into may be changed further."""
    value = values[int(chance.random() * len(values))]
    return orjson.loads(orjson.dumps(value)) if type(value) in (list, dict) else value
