"""A short text of anything: bounded, of one visible line, and never a failure of its own."""

from __future__ import annotations

import time
from typing import Any

import pytest

from shared.errors import InvalidMessage, SettingsError, UsageError
from shared.shortened import bounded, quoted, shortened


def nested(depth: int, kind: str = "list") -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


class Silent:
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Endless(list[Any]):
    """Contains itself."""

    def __init__(self) -> None:
        super().__init__([self])


WIDE = [[["x" * 1_000] * 1_000] * 1_000] * 1_000
EXTREMES = {
    "list nested 100,000 deep": nested(100_000),
    "object nested 100,000 deep": nested(100_000, "object"),
    "contains itself": Endless(),
    "10^9 texts": WIDE,
    "900 kB of text": "x" * 900_000,
    "900 kB of bytes": b"\xff" * 900_000,
    "lone surrogate": "\ud800" * 300,
    "of an integer more digits than Python makes": 10**5_000,
    "negative one": -(10**5_000),
    "without a text": Silent(),
    "infinite": float("inf"),
    "NUL": "\0" * 300,
    "escapes": "\x1b[2J\n" * 100,
}


@pytest.mark.parametrize("value", EXTREMES.values(), ids=EXTREMES)
def test_every_value_is_one_short_line(value: object) -> None:
    begun_s = time.perf_counter()
    line, error = shortened(value, 80), str(InvalidMessage("field", value, "a number"))
    assert time.perf_counter() - begun_s < 1.0
    assert 0 < len(line) <= 81
    assert line.isprintable()
    assert len(error) <= 10 * 80 + 100
    assert error.isprintable()
    error.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("price", "price"),
        (None, "None"),
        (1.5, "1.5"),
        (True, "True"),
        ([1, "a", None], "[1, 'a', None]"),
        ({"a": [1]}, "{'a': [1]}"),
        ((1, 2), "(1, 2)"),
        (b"abc", "abc"),
    ],
)
def test_what_is_short_is_told_as_python_writes_it(value: object, text: str) -> None:
    assert shortened(value) == text


def test_what_is_cut_says_so() -> None:
    assert shortened("abcdef", 5) == "abcde…"
    assert quoted("abcdef", 5) == "'abcde…'"
    assert shortened("abcde", 5) == "abcde"
    assert quoted("a\x1b", 5) == "'a\\x1b'"


@pytest.mark.parametrize("value", ["x" * 900_000, "x " * 450_000, "x" * 301, "\x1b" * 90_000])
def test_an_error_that_quotes_anything_keeps_what_it_is_of_and_the_way_out(value: str) -> None:
    for error in (
        UsageError(f"--file {value}: no such file; name another"),
        SettingsError(f"--file {value}; name another"),
    ):
        said = str(error)
        assert said.startswith("--file ") and said.endswith("; name another") and len(said) <= 4_001
        assert "…" in said


def test_faults_are_each_bounded() -> None:
    faults = SettingsError("x" * 9_000, "y").faults
    assert [len(fault) for fault in faults] == [301, 1]


def test_what_can_be_read_stays_as_it_is() -> None:
    text = "choose from " + ", ".join(f"indicator_{number}" for number in range(200))
    assert bounded(text) == text
