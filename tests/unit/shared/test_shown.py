"""Text from outside can neither steer a terminal nor look like something else."""

from __future__ import annotations

import sys
import unicodedata

import orjson
import pytest

from shared.shown import shown, shown_lines, shown_output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("no\r\n12:00:00 ERROR forged", r"no\r\n12:00:00 ERROR forged"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202eb\u2066c", r"a\u202eb\u2066c"),
        ("BTC\u200bUSDC\ufeff", r"BTC\u200bUSDC\ufeff"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("half \ud83d", r"half \ud83d"),
        ("币安人生USDT – µ é 😀", "币安人生USDT – µ é 😀"),
        ("", ""),
    ],
)
def test_what_steers_or_hides_is_written_out(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_no_sign_that_unicode_calls_a_control_or_a_format_is_left() -> None:
    left = [
        hex(number)
        for number in range(sys.maxunicode + 1)
        if unicodedata.category(chr(number)) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        and chr(number) in shown(chr(number))
    ]
    assert left == []


def test_lines_stay_lines() -> None:
    assert shown_lines("one\x1b\ntwo\r\n") == "one\\x1b\ntwo\\r\n"


def test_json_says_the_same() -> None:
    value = {"reason": "\x1b[2J\x9b\u202e\u200b\U000e0041\n", "symbol": "币安人生USDT"}
    text = shown_output(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
    assert orjson.loads(text) == value
    assert shown_lines(text) == text


def test_output_keeps_its_lines_and_nothing_else_that_steers() -> None:
    assert shown_output("a\tb\r\nc\x1b[2J\x9b") == "a\tb\\u000d\nc\\u001b[2J\\u009b"
