"""Every status of the exchange's REST interface, decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from producers.exchanges.binance.answers import (
    decide,
    exchange_info,
    object_of,
    rows_of,
    server_time,
    used_weight,
)
from shared.errors import ExchangeError, ExchangeRefused, ExchangeUnavailable, UnknownSymbol

REQUEST = "GET http://host/api/v3/klines"


def error_of(status: int, body: bytes = b"{}", **headers: str) -> ExchangeError:
    with pytest.raises(ExchangeError) as raised:
        decide(
            status,
            {name.replace("_", "-"): value for name, value in headers.items()},
            body,
            REQUEST,
            object_of,
        )
    assert "\n" not in str(raised.value)
    return raised.value


def test_a_good_answer_is_decoded() -> None:
    assert decide(200, {}, b"[1]", REQUEST, rows_of) == [1]


@pytest.mark.parametrize("status", [418, 429])
def test_limits_are_waited_for_as_long_as_the_exchange_says(status: int) -> None:
    error = error_of(status, retry_after="17")
    assert isinstance(error, ExchangeUnavailable)
    assert error.retry_after == 17.0


def test_a_limit_that_names_no_time_lasts_a_minute() -> None:
    error = error_of(429)
    assert isinstance(error, ExchangeUnavailable)
    assert error.retry_after == 60.0


def test_a_firewall_that_speaks_html_is_waited_for() -> None:
    error = error_of(403, b"<html>")
    assert isinstance(error, ExchangeUnavailable)
    assert error.retry_after == 300.0


@pytest.mark.parametrize("status", [500, 502, 503])
def test_failures_of_the_exchange_are_transient(status: int) -> None:
    error = error_of(status, b"<html>\nBad gateway")
    assert isinstance(error, ExchangeUnavailable)
    assert error.retry_after is None


@pytest.mark.parametrize(
    ("status", "body"), [(451, b"{}"), (404, b""), (400, b'{"code":-1102,"msg":"x"}'), (400, b"<")]
)
def test_what_will_never_be_served_is_refused(status: int, body: bytes) -> None:
    assert isinstance(error_of(status, body), ExchangeRefused)


def test_an_unknown_symbol_is_told_apart() -> None:
    assert isinstance(error_of(400, b'{"code":-1121,"msg":"Invalid symbol."}'), UnknownSymbol)


@pytest.mark.parametrize(
    ("read", "bodies"),
    [
        (exchange_info, [b"null", b"[]", b'{"data":"none"}', b'{"symbols":[null]}', b'{"symbols":{}}']),
        (server_time, [b"null", b"[]", b'{"data":"none"}', b'{"serverTime":"1"}', b'{"serverTime":true}']),
        (rows_of, [b"null", b"{}", b"7"]),
        (object_of, [b"null", b"[]", b"7"]),
    ],
)
def test_junk_with_a_good_status_is_transient(read: Callable[[Any], Any], bodies: list[bytes]) -> None:
    for body in (b"<html>", b"", *bodies):
        with pytest.raises(ExchangeUnavailable, match=REQUEST):
            decide(200, {}, body, REQUEST, read)


def test_the_used_weight_is_read_from_the_header() -> None:
    assert used_weight({"x-mbx-used-weight-1m": "42"}) == 42
    assert used_weight({}) is None
    assert used_weight({"x-mbx-used-weight-1m": "many"}) is None


def test_the_limit_is_the_one_of_exchange_info() -> None:
    limits = [
        {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6_000},
    ]
    assert exchange_info({"rateLimits": limits, "symbols": []}).weight_limit == 6_000
    assert exchange_info({"symbols": []}).weight_limit is None


@pytest.mark.parametrize("junk", [None, 7, "x", [[1]], [[1, "2"]], [None], {"a": 1}])
def test_halts_of_a_recorded_exchange_are_read_where_they_are_some(junk: object) -> None:
    told = {"symbol": "XUSD", "status": "TRADING", "recordedHalts": [[1, 2], [5, 9]]}
    answer = {"symbols": [told, {"symbol": "YUSD", "status": "TRADING", "recordedHalts": junk}]}
    assert exchange_info(answer).recorded_halts == {"XUSD": ((1, 2), (5, 9)), "YUSD": ()}
