"""Text from outside cannot steer a terminal or look like something else; passwords of URLs are masked."""

from __future__ import annotations

import io
import logging
import sys
import unicodedata
from typing import Literal

import orjson
import pytest

from shared.errors import (
    CryptoStreamError,
    ExchangeBlocked,
    ExchangeUnavailable,
    InvalidMessage,
    SettingsError,
    StoreUnavailable,
    UsageError,
)
from shared.logs import set_up_logging
from shared.shown import masked, masked_url, shown, shown_lines, shown_output


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET https://u:s3cret@host:1/p: no answer", "GET https://***@host:1/p: no answer"),
        ("https://s3cret@host", "https://***@host"),
        ("wss://u:a@s3cret@host/x, http://u:s3cret@b", "wss://***@host/x, http://***@b"),
        ("https://host/p?mail=a@b", "https://host/p?mail=a@b"),
        ("someone@example.org", "someone@example.org"),
        ("abfs://box@account/x", "abfs://box@account/x"),
    ],
)
def test_what_stands_in_front_of_a_host_is_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "url", ["u:s3cret@host", "//u:s3cret@h://", "http://u:s3/cret@host", "HTTP://s3cret@h"]
)
def test_of_what_is_no_url_all_is_masked_that_may_be_one(url: str) -> None:
    assert "cret" not in masked_url(url)
    assert masked_url(url).endswith(("host", "h", "h://"))


@pytest.mark.parametrize(
    "kind",
    [CryptoStreamError, UsageError, SettingsError, ExchangeUnavailable, ExchangeBlocked, StoreUnavailable],
)
def test_no_error_shows_it(kind: type[CryptoStreamError]) -> None:
    assert str(kind("http://u:s3cret@host fails")) == "http://***@host fails"


def test_no_rejected_value_shows_it() -> None:
    assert "s3cret" not in str(InvalidMessage("price", "http://u:s3cret@host", "a decimal"))


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_log_line_shows_it(monkeypatch: pytest.MonkeyPatch, form: Literal["text", "json"]) -> None:
    said = io.StringIO()
    monkeypatch.setattr("sys.stderr", said)
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    try:
        set_up_logging("INFO", form)
        logging.getLogger("a library").warning("retrying %s", "https://u:s3cret@host/x")
    finally:
        root.handlers[:], root.level = before
    assert "https://***@host/x" in said.getvalue()
