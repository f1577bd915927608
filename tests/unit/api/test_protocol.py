from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.protocol import (
    LONGEST_REQUEST,
    Ack,
    ProtocolError,
    Refused,
    Subscribe,
    Time,
    Unsubscribe,
    parse,
)
from tests.live_topics import KINDS

BAR = {"id": 1, "series": "kline", "exchange": "binance", "symbol": "BTCUSDC", "interval": "1m"}
TRADES = {"id": 2, "series": "trade", "exchange": "binance", "symbol": "BTCUSDC"}


def refusal(message: Any) -> Refused:
    [refused] = parse(json.dumps(message), KINDS)
    assert isinstance(refused, Refused)
    return refused


def subscription(**entry: Any) -> Subscribe:
    [subscribe] = parse(json.dumps({"subscribe": [entry]}), KINDS)
    assert isinstance(subscribe, Subscribe), subscribe
    return subscribe


def test_a_subscription_has_the_defaults_of_its_kind() -> None:
    bars = subscription(**BAR)
    assert (bars.number, bars.kind.name, bars.tags) == (1, "kline", ("binance", "BTCUSDC", "1m"))
    assert (bars.columns, bars.last, bars.since) == (("open", "close"), 1_500, None)
    assert subscription(**TRADES).last == 2_000
    assert subscription(**BAR | {"series": "open_bar"}).last == 1


def test_a_kind_that_is_followed_as_a_whole_may_leave_out_any_tag() -> None:
    assert subscription(id=3, series="ledger", stream="klines").tags == (None, None, "klines", None)
    assert subscription(id=3, series="ledger", interval="").tags == (None, None, None, "")


def test_several_requests_are_taken_and_refused_each_for_itself() -> None:
    first, second = parse(json.dumps({"subscribe": [BAR, TRADES | {"symbol": ""}]}), KINDS)
    assert isinstance(first, Subscribe)
    assert isinstance(second, Refused) and second.number == 2 and "symbol" in second.detail


def test_the_other_messages() -> None:
    assert parse('{"ack": 17, "painted_ms": 12.5}', KINDS) == [Ack(17, 12.5)]
    assert parse('{"ack": 17}', KINDS) == [Ack(17, None)]
    assert parse('{"time": 1732790000000.1}', KINDS) == [Time(1732790000000.1)]
    assert parse('{"unsubscribe": [1, 2]}', KINDS) == [Unsubscribe(1), Unsubscribe(2)]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"id": -1}, "id: '-1' is no whole number from 0 to 2,147,483,647"),
        ({"id": True}, "id: 'True'"),
        ({"id": 2**31}, "id: '2147483648'"),
        ({"id": 10**30}, "id: "),
        ({"series": "klines"}, "series: 'klines' is none; choose from kline,"),
        ({"series": ["kline"]}, "series: "),
        ({"interval": None}, "interval: missing; kline needs exchange, symbol, interval"),
        ({"symbol": "BTC USDC"}, "symbol: 'BTC USDC' is no name"),
        ({"symbol": "B" * 100}, "symbol: "),
        ({"symbol": "\ud800"}, "must be one JSON object"),
        ({"last": 1_501}, "last of kline: '1501' is no whole number from 0 to 1,500"),
        ({"last": 1.5}, "last of kline"),
        ({"columns": []}, "columns: '[]' is no list of names"),
        ({"columns": ["high"]}, "columns: kline has no 'high'; it has open, close"),
        ({"columns": [["open"]]}, "columns: kline has no"),
        ({"columns": ["open", "open"]}, "twice"),
        ({"since": 5}, "since: '5' is no cursor"),
        ({"since": "k" * 100}, "since: "),
        ({"depth": 5}, "depth: unknown in kline; it has id, series, exchange,"),
        ({"series": "open_bar", "since": "k1m3:5@abcdef"}, "since: open_bar has no cursors"),
        ({"series": "ledger", "interval": None, "since": "l3:5@abcdef"}, "since: a cursor is of one series"),
    ],
)
def test_a_wrong_subscription_is_named_with_the_way_out(entry: dict[str, Any], said: str) -> None:
    if "\ud800" in str(entry.get("symbol")):
        with pytest.raises(ProtocolError, match=said):
            parse(json.dumps({"subscribe": [BAR | entry]}), KINDS)
        return
    assert said in refusal({"subscribe": [BAR | entry]}).detail


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({}, "{}: a message has one of subscribe, unsubscribe, ack or time"),
        ({"hello": 1}, "hello: a message has one of"),
        ({"ack": 1, "time": 2}, "ack and time: a message has one of"),
        ({"ack": 1, "painted": 2}, "painted: unknown in message; it has ack, painted_ms"),
        ({"time": 1, "painted_ms": 2}, "painted_ms: unknown"),
        ({"ack": -1}, "ack: '-1'"),
        ({"ack": 1, "painted_ms": "now"}, "painted_ms: 'now' is no time in milliseconds"),
        ({"time": 1e300}, "time: "),
        ({"time": True}, "time: "),
        ({"subscribe": {}}, "subscribe: '{}' is no list"),
        ({"subscribe": []}, "subscribe: '[]' is no list"),
        ({"subscribe": ["kline"]}, "subscribe: 'kline' is no object"),
        ({"subscribe": [BAR] * 65}, "subscribe: 65 entries; give at most 64"),
        ({"unsubscribe": ["1"]}, "unsubscribe: id: '1'"),
    ],
)
def test_a_wrong_message_is_named_with_the_way_out(message: Any, said: str) -> None:
    assert said in refusal(message).detail


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", 1007),
        ("[]", 1007),
        ("17", 1007),
        ('{"ack": NaN}', 1007),
        ('{"ack": Infinity}', 1007),
        ('{"ack": 1} {}', 1007),
        ("[" * 30_000, 1007),
        ('{"ack": ' + "[" * 20_000 + "]" * 20_000 + "}", 1007),
        (b'{"ack": "\xff"}', 1007),
        ("\ud800", 1007),
        (f'{{"ack": {"9" * 5_000}}}', 1007),
        ('{"ack": 1}' + " " * LONGEST_REQUEST, 1009),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_object_ends_the_connection(message: str | bytes, code: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(message, KINDS)
    assert caught.value.code == code
    assert len(str(caught.value)) <= 120


@pytest.mark.parametrize("digits", [20, 300])
def test_a_huge_number_is_refused_not_computed_with(digits: int) -> None:
    [refused] = parse(f'{{"ack": {"9" * digits}}}', KINDS)
    assert isinstance(refused, Refused) and len(refused.detail) < 300


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
words = st.sampled_from(
    ["subscribe", "unsubscribe", "ack", "time", "painted_ms", *BAR, "last", "columns", "since"]
)
values = st.sampled_from([*BAR.values(), "trade", "close", "k1m3:5@abcdef"]) | scalars
trees = st.recursive(
    values, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=4), inner)
)


@pytest.mark.thorough
@given(st.dictionaries(words, trees) | st.fixed_dictionaries({"subscribe": st.lists(trees, max_size=3)}))
def test_any_object_is_parsed_or_refused_in_words(message: dict[str, Any]) -> None:
    try:
        text = json.dumps(message)
        requests = parse(text, KINDS)
    except ProtocolError:
        return
    for request in requests:
        if isinstance(request, Refused):
            assert 10 < len(request.detail) < 1_000
            assert request.number is None or 0 <= request.number < 2**31


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_are_parsed_or_refused(message: str | bytes) -> None:
    try:
        parse(message, KINDS)
    except ProtocolError as error:
        assert error.code == 1007
