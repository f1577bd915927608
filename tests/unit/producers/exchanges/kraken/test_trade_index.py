from __future__ import annotations

from typing import Any

import pytest

from producers.exchanges.kraken.trade_index import TradeIndex
from tests.builders import NOW_MS, trade


def page(*points: tuple[int, int]) -> list[Any]:
    return [trade(trade_id=trade_id, trade_time_ms=time_ms) for trade_id, time_ms in points]


@pytest.fixture
def index() -> TradeIndex:
    index = TradeIndex()
    index.note(page((1_000, NOW_MS - 100_000), (1_500, NOW_MS - 70_000), (2_000, NOW_MS - 50_000)))
    return index


def test_the_ends_of_a_page_are_remembered(index: TradeIndex) -> None:
    assert index.before(1_000) is None
    assert index.before(1_001) == (1_000, NOW_MS - 100_000)
    assert index.before(9_999) == (2_000, NOW_MS - 50_000)
    index.note([])
    assert index.before(2_000) == (1_000, NOW_MS - 100_000)


def test_the_nearest_trade_from_an_id_on_is_known_too(index: TradeIndex) -> None:
    assert index.after(1_000) == (1_000, NOW_MS - 100_000)
    assert index.after(1_001) == (2_000, NOW_MS - 50_000)
    assert index.after(2_001) is None


def test_what_a_page_contradicts_is_of_a_numbering_that_has_ended(index: TradeIndex) -> None:
    index.note(page((1, NOW_MS - 9_000), (700, NOW_MS - 8_000)))
    assert index.after(701) is None
    index.note(page((701, NOW_MS - 8_500)))  # times of neighbours may be out of order
    assert index.before(701) == (700, NOW_MS - 8_000)


def test_the_oldest_points_are_forgotten() -> None:
    index = TradeIndex()
    for number in range(5_000):
        index.note(page((number, number)))
    assert index.before(100) is None and index.before(5_000) == (4_999, 4_999)
