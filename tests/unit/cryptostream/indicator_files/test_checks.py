"""The checks find how long each column remembers, and what uses later bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import nan

import pytest

from consumers.indicators.bars import Bar
from consumers.indicators.declarations import INDICATORS, Declaration
from consumers.indicators.registry import ALL_COLUMNS, indicator_set
from cryptostream.indicator_files.checks import LookAhead, check_look_ahead, check_warm_up, cuts, horizon
from cryptostream.indicator_files.compute import Values, rows_of_stream, rows_of_ta
from tests.unit.consumers.indicators.series import made_up

BARS = made_up(3_000)
SHORT = made_up(150)


def stable_after(*names: str) -> dict[str, int | None]:
    found = check_warm_up(indicator_set(names), BARS, len(BARS))
    return {column: stable for column, _, stable in found}


def test_a_window_is_stable_as_soon_as_it_is_full() -> None:
    found = stable_after(
        "trend_sma_fast", "trend_sma_fast(50)", "volatility_dch", "momentum_roc", "trend_wma"
    )
    assert found == {
        "trend_sma_fast": 11,
        "trend_sma_fast_50": 49,
        "volatility_dch": 19,
        "momentum_roc": 12,
        "trend_wma": 8,
    }


def test_an_average_forgets_at_the_rate_of_its_weight() -> None:
    # (1 - 2/13)^n = 1e-9 after 124 bars, (1 - 2/27)^n after 269; the start differs by less than the price.
    found = stable_after("trend_ema_fast", "trend_ema_slow")
    assert found["trend_ema_fast"] is not None and 60 < found["trend_ema_fast"] <= 124
    assert found["trend_ema_slow"] is not None and 130 < found["trend_ema_slow"] <= 269


@pytest.mark.thorough
def test_what_sums_from_the_first_bar_is_never_stable() -> None:
    sums = ("volume_adi", "volume_obv", "volume_vpt", "volume_nvi", "others_cr")
    assert stable_after(*sums) == dict.fromkeys(sums)
    rest = [column for column in ALL_COLUMNS if column not in sums]
    assert None not in stable_after(*rest).values()


@pytest.mark.parametrize("declared", INDICATORS, ids=lambda declared: next(iter(declared.columns)))
def test_no_value_is_stable_before_it_is_there(declared: Declaration) -> None:
    for column, warm_up, stable in check_warm_up(
        indicator_set(tuple(declared.columns)),
        BARS[:600],
        600,
    ):
        assert stable is None or stable >= warm_up, column


def test_a_series_too_short_to_tell_is_said_to_be() -> None:
    indicators = indicator_set(("trend_sma_fast(50)",))
    assert horizon(indicators, 101) == 0
    assert horizon(indicators, 102) == 51
    assert horizon(indicators, 10**6) == 1_000


def test_no_column_of_ours_uses_a_later_bar() -> None:
    indicators = indicator_set()

    def compute(bars: Sequence[Bar]) -> Iterator[Values]:
        return (values for _, values in rows_of_stream(indicators, bars))

    assert check_look_ahead(compute, indicators.columns, SHORT) == []


@pytest.mark.thorough
def test_the_columns_in_which_ta_looks_ahead_are_found() -> None:
    def compute(bars: Sequence[Bar]) -> Iterator[Values]:
        return (values for _, values in rows_of_ta(ALL_COLUMNS, bars))

    found = {result.column: result for result in check_look_ahead(compute, ALL_COLUMNS, SHORT)}
    assert set(found) == {
        "trend_kst",
        "trend_kst_sig",
        "trend_kst_diff",
        "trend_visual_ichimoku_a",
        "trend_visual_ichimoku_b",
    }
    for column in ("trend_visual_ichimoku_a", "trend_visual_ichimoku_b"):
        assert found[column] == LookAhead(column, 26, 0, 25)
    assert found["trend_kst"].first == 14


def test_one_bar_ahead_is_found_in_the_last_row_before_a_cut() -> None:
    def compute(bars: Sequence[Bar]) -> Iterator[Values]:
        for bar, later in zip(bars, [*bars[1:], None], strict=True):
            yield bar.close, nan if later is None else later.close

    assert check_look_ahead(compute, ("now", "next"), SHORT) == [LookAhead("next", 4, 29, 148)]
    assert cuts(len(SHORT)) == [30, 60, 120, 149]


def test_a_look_at_whether_there_are_later_bars_at_all_is_found() -> None:
    def compute(bars: Sequence[Bar]) -> Iterator[Values]:
        return ((float(len(bars)),) for _ in bars)

    assert check_look_ahead(compute, ("length",), SHORT) == [LookAhead("length", 149, 0, 148)]


def test_a_series_too_short_is_not_cut() -> None:
    assert cuts(30) == []
    assert cuts(31) == [30]
