"""Letters: where they came from, of a size that Kafka takes, whatever was rejected."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
import pytest

from shared.dead_letters import MOST_BYTES, Origin, as_json, dead_letter, origin_of
from shared.trade_ids import EPOCH_SPAN, MAX_EPOCH, number


def test_headers_say_where_a_letter_came_from() -> None:
    put_aside = Origin("price: 'x' is not a decimal string", "market.trades", 3, 17, "consumer-trades")
    key, value, headers = dead_letter(put_aside, b"binance:BTCUSDC", b"{}")
    assert (key, value) == (b"binance:BTCUSDC", b"{}")
    origin = origin_of(headers)
    assert origin == put_aside
    assert (origin.from_exchange, origin.is_point) == (False, False)


@pytest.mark.parametrize("newest_trade", [-1, 0, 8, number(MAX_EPOCH, EPOCH_SPAN - 1)])
def test_a_letter_says_the_numbering_of_its_trades_if_it_is_known(newest_trade: int) -> None:
    origin = Origin("why", "rest:trades", -1, -1, "producer", newest_trade=newest_trade)
    headers = dead_letter(origin, b"binance:BTCUSDC", b"{}").headers
    assert origin_of(headers) == origin
    assert (newest_trade >= 0) == ("newest_trade" in dict(headers))


@pytest.mark.parametrize(
    ("source", "from_exchange", "is_point"),
    [("websocket:btcusdc@trade", True, False), ("rest:klines", True, False), ("market.trades", False, True)],
)
def test_what_never_was_a_record_is_of_the_exchange_or_a_point(
    source: str, from_exchange: bool, is_point: bool
) -> None:
    origin = origin_of(dead_letter(Origin("", source, -1, -1, "test"), None, b"").headers)
    assert (origin.from_exchange, origin.is_point) == (from_exchange, is_point)


def test_headers_of_a_stranger_are_read_as_far_as_they_go() -> None:
    assert origin_of(None) == Origin("", "", -1, -1, "")
    assert origin_of([("source_offset", "seven"), ("reason", b"\xff"), ("other", None)]).offset == -1


def test_of_what_kafka_would_not_take_the_beginning_is_kept_with_its_length_and_hash() -> None:
    whole = b"ab" * MOST_BYTES
    letter = dead_letter(Origin("too long", "rest:klines", -1, -1, "test"), b"k" * 10**6, whole)
    assert letter.value == whole[:MOST_BYTES]
    origin = origin_of(letter.headers)
    assert (origin.whole_bytes, origin.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())


def test_the_longest_letter_fits_into_a_record_of_kafka() -> None:
    long = "\U0001f600" * 10**6
    letter = dead_letter(Origin(long, long, 2**31, 2**63, long), long.encode(), long.encode())
    headers = sum(len(name) + len(value) for name, value in letter.headers)
    assert len(letter.key or b"") + len(letter.value or b"") + headers < 990_000


def nested(depth: int, innermost: Any) -> Any:
    for level in range(depth):
        innermost = [1, innermost] if level % 2 else {"a": 1.5, "b": innermost}
    return innermost


@pytest.mark.thorough
@pytest.mark.parametrize("depth", [3, 253, 254, 255, 1_000, 100_000])
def test_json_of_any_depth_is_written_as_it_was_read(depth: int) -> None:
    text = as_json(nested(depth, {"c": None, "d": [], "e": "\u00e4\n"}))
    if depth <= 1_000:
        assert as_json(orjson.loads(text)) == text
    assert text.count(b"{") == text.count(b"}") == depth - depth // 2 + 1


def test_what_has_no_form_in_json_is_a_text() -> None:
    assert orjson.loads(as_json({"a": 2**70, "b": b"x", "c": "\ud800"}))["b"] == "x"
