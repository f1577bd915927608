"""Passwords inside URLs: shown by no error, no log line, no setting."""

from __future__ import annotations

import io
import logging
from typing import Literal

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
from shared.masking import masked, masked_url


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
