"""The look-ahead check finds what uses later bars, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import nan

from consumers.indicators.bars import Bar
from consumers.indicators.registry import ALL_COLUMNS, indicator_set
from cryptostream.indicator_files.engines import Values, rows_of_stream, rows_of_ta
from cryptostream.indicator_files.look_ahead import LookAhead, check_look_ahead, cuts
from tests.unit.consumers.indicators.series import made_up

BARS = made_up(150)


def test_no_column_of_ours_uses_a_later_bar() -> None:
    indicators = indicator_set()

    def compute(bars: Sequence[Bar]) -> Iterator[Values]:
        return (values for _, values in rows_of_stream(indicators, bars))

    assert check_look_ahead(compute, indicators.columns, BARS) == []


def test_the_columns_in_which_ta_looks_ahead_are_found() -> None:
    def compute(bars: Sequence[Bar]) -> Iterator[Values]:
        return (values for _, values in rows_of_ta(ALL_COLUMNS, bars))

    found = {result.column: result for result in check_look_ahead(compute, ALL_COLUMNS, BARS)}
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

    assert check_look_ahead(compute, ("now", "next"), BARS) == [LookAhead("next", 4, 29, 148)]
    assert cuts(len(BARS)) == [30, 60, 120, 149]


def test_a_look_at_whether_there_are_later_bars_at_all_is_found() -> None:
    def compute(bars: Sequence[Bar]) -> Iterator[Values]:
        return ((float(len(bars)),) for _ in bars)

    assert check_look_ahead(compute, ("length",), BARS) == [LookAhead("length", 149, 0, 148)]


def test_a_series_too_short_is_not_cut() -> None:
    assert cuts(30) == []
    assert cuts(31) == [30]
