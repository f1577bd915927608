"""What is derived of a series is derived once, and a flood of series does not lie in memory."""

from __future__ import annotations

import pytest

from consumers.measurements import TRADE, Series
from consumers.stores import series_cache
from consumers.stores.series_cache import SeriesCache


class Deriving:
    """Numbers the series that it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Series] = []

    def __call__(self, series: Series) -> int:
        self.asked.append(series)
        return len(self.asked)


def series(count: int) -> list[Series]:
    return [Series(TRADE, ("binance", str(number))) for number in range(count)]


def test_a_series_is_derived_once() -> None:
    derive = Deriving()
    cache, (one, two) = SeriesCache(derive), series(2)
    assert [cache.get(each) for each in (one, two, one, two)] == [1, 2, 1, 2]


def test_another_object_is_another_series_though_it_is_equal() -> None:
    """Builders share one; its columns are not compared point by point."""
    derive = Deriving()
    cache = SeriesCache(derive)
    assert [cache.get(Series(TRADE, ("binance", "A"))) for _ in range(3)] == [1, 2, 3]
    assert len(derive.asked) == 3


def test_a_clear_forgets() -> None:
    cache, (one,) = SeriesCache(Deriving()), series(1)
    assert cache.get(one) == 1
    cache.clear()
    assert cache.get(one) == 2


def test_it_holds_so_many_series_and_begins_anew_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_cache, "_MOST_SERIES", 3)
    derive = Deriving()
    cache, all_of_them = SeriesCache(derive), series(4)
    first, *_, last = all_of_them
    for each in all_of_them[:3] * 2:
        cache.get(each)
    assert derive.asked == all_of_them[:3], "what fits is kept"
    assert cache.get(last) == 4
    assert len(cache._entries) == 1
    assert cache.get(first) == 5, "the others were forgotten"
    assert cache.get(last) == 4


def test_ten_thousand_series_are_enough_for_every_deployment() -> None:
    cache = SeriesCache(Deriving())
    for each in (many := series(10_000)):
        cache.get(each)
    assert len(cache._entries) == len(many)
    cache.get(Series(TRADE, ("binance", "one more")))
    assert len(cache._entries) == 1
