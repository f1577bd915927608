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
    served_ms,
    server_time,
    used_weight,
)
from producers.exchanges.rest_port import Listing
from shared.errors import ExchangeError, ExchangeRefused, ExchangeUnavailable, InvalidMessage, UnknownSymbol

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


@pytest.mark.parametrize("status", [408, 500, 502, 503])
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


FILTERS: list[Any] = [
    None,
    {"filterType": "PRICE_FILTER", "minPrice": "0.02", "tickSize": "0.01000000"},
    {"filterType": "MARKET_LOT_SIZE", "stepSize": "5"},
    {"filterType": "LOT_SIZE", "minQty": "0.00010000", "stepSize": "0.00000000"},
]


def test_a_listing_has_assets_and_steps_and_leaves_out_what_is_not_said() -> None:
    said = {"symbol": "ETHUSDT", "baseAsset": "ETH", "quoteAsset": "USDT", "filters": FILTERS}
    filters: list[object] = [{"tickSize": "-1"}, {"filterType": {}, "tickSize": "1"}, 7]
    strange = {"symbol": "X", "baseAsset": 1, "quoteAsset": "a\nb", "filters": filters}
    listings = exchange_info({"symbols": [said, strange, {"symbol": "Y"}]}).listings
    assert listings == {
        "ETHUSDT": Listing("ETH", "USDT", "0.01000000", None),  # a step of 0 is no rule
        "X": Listing(None, None, None, None),
        "Y": Listing(None, None, None, None),
    }


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


@pytest.mark.parametrize("wait", ["9" * 400, "9" * 5_000, str(10**14)])
def test_no_wait_is_longer_than_the_longest_ban(wait: str) -> None:
    error = error_of(429, retry_after=wait)
    assert isinstance(error, ExchangeUnavailable)
    assert error.retry_after == 3 * 86_400
    assert len(str(error)) < 200


@pytest.mark.parametrize(
    "date",
    [
        *("", "x", "0 0 0 0 0", "Mon, 01 Jan 1900 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359"),
        *("Mon, 03 Aug " + "9" * 5_000 + " 14:25:00 GMT", "Mon, 03 Aug 2026 14:25:00 +" + "9" * 30),
    ],
)
def test_a_date_that_is_none_tells_no_time(date: str) -> None:
    assert served_ms({"date": date}) is None


def test_a_weight_of_5_000_digits_is_none() -> None:
    assert used_weight({"x-mbx-used-weight-1m": "9" * 5_000}) is None


@pytest.mark.parametrize("limits", [5, "x", [5], [None], {"a": 1}, [{"rateLimitType": []}]])
def test_limits_of_another_shape_are_none(limits: Any) -> None:
    assert exchange_info({"symbols": [], "rateLimits": limits}).weight_limit is None


@pytest.mark.parametrize(("limit", "per"), [(-1, 1), (0, 1), (5, 0), (5, -1), (1, 2**63), (True, 1)])
def test_a_limit_that_lets_nothing_through_is_none(limit: Any, per: Any) -> None:
    told = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "limit": limit, "intervalNum": per}
    assert exchange_info({"symbols": [], "rateLimits": [told]}).weight_limit is None


def test_symbols_without_a_name_are_left_out_and_a_status_is_short() -> None:
    nested: Any = []
    for _ in range(1_000):
        nested = [nested]
    info = exchange_info({"symbols": [{"symbol": nested}, {"symbol": "BTCUSDC", "status": nested}]})
    assert list(info.statuses) == ["BTCUSDC"]
    assert len(info.statuses["BTCUSDC"]) < 200


@pytest.mark.parametrize("time_ms", [-1, 0, 2**63, True, 1.5, None, "1"])
def test_a_time_that_no_clock_can_say_is_none(time_ms: Any) -> None:
    with pytest.raises(InvalidMessage, match="serverTime"):
        server_time({"serverTime": time_ms})
