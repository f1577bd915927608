from __future__ import annotations

import pytest

from shared.dead_letters import Origin, dead_letter_headers, origin_of


def test_headers_say_where_a_letter_came_from() -> None:
    headers = dead_letter_headers(
        "price: 'x' is not a decimal string", "market.trades", 3, 17, "consumer-trades"
    )
    origin = origin_of(headers)
    assert origin == Origin("price: 'x' is not a decimal string", "market.trades", 3, 17, "consumer-trades")
    assert (origin.from_exchange, origin.is_point) == (False, False)


@pytest.mark.parametrize(
    ("source", "from_exchange", "is_point"),
    [("websocket:btcusdc@trade", True, False), ("rest:klines", True, False), ("market.trades", False, True)],
)
def test_what_never_was_a_record_is_of_the_exchange_or_a_point(
    source: str, from_exchange: bool, is_point: bool
) -> None:
    origin = origin_of(dead_letter_headers("", source, -1, -1, "test"))
    assert (origin.from_exchange, origin.is_point) == (from_exchange, is_point)


def test_headers_of_a_stranger_are_read_as_far_as_they_go() -> None:
    assert origin_of(None) == Origin("", "", -1, -1, "")
    assert origin_of([("source_offset", "seven"), ("reason", b"\xff"), ("other", None)]).offset == -1
