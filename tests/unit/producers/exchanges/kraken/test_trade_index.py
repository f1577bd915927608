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


def test_between_two_known_trades_the_pace_decides(index: TradeIndex) -> None:
    assert index.guess_ms(1_600, 200, NOW_MS, 0) == NOW_MS - 100_000 + 25_000


def test_before_all_known_ones_it_looks_back_farther_each_time(index: TradeIndex) -> None:
    back = [NOW_MS - 100_000 - index.guess_ms(5, 1_000, NOW_MS, step) for step in range(3)]
    assert back[1] == 4 * back[0] and back[2] == 16 * back[0]
    assert index.guess_ms(5, 1_000, NOW_MS, 30) == 0


def test_after_all_known_ones_it_looks_at_the_last_hour(index: TradeIndex) -> None:
    assert index.guess_ms(99_999, 1_000, NOW_MS, 0) == NOW_MS - 50_000
    assert index.guess_ms(99_999, 1_000, NOW_MS + 86_400_000, 0) == NOW_MS + 82_800_000


def test_the_oldest_points_are_forgotten() -> None:
    index = TradeIndex()
    for number in range(5_000):
        index.note(page((number, number)))
    assert index.before(100) is None and index.before(5_000) == (4_999, 4_999)
