"""What holds for every indicator of the registry: fork, restart, no look-ahead, bounds, warm-up."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from consumers.indicators.bars import Bar
from consumers.indicators.compiler.build import State
from consumers.indicators.declarations import INDICATORS, Declaration
from consumers.indicators.indicator_set import IndicatorSet
from consumers.indicators.registry import ALL_COLUMNS, indicator_set
from tests.unit.consumers.indicators.series import awkward, made_up

BARS = made_up(200)
EACH = pytest.mark.parametrize("declared", INDICATORS, ids=lambda declared: next(iter(declared.columns)))


def bits(values: tuple[float, ...]) -> bytes:
    """Values so that NaN equals NaN and 0.0 does not equal -0.0."""
    return struct.pack(f"<{len(values)}d", *values)


def run(indicators: IndicatorSet, bars: list[Bar], state: State | None = None) -> tuple[State, list[bytes]]:
    state = state or indicators.initial()
    rows = []
    for bar in bars:
        state, values = indicators.step(state, bar)
        rows.append(bits(values))
    return state, rows


def of(declared: Declaration) -> IndicatorSet:
    return indicator_set(tuple(declared.columns))


@pytest.mark.thorough
@EACH
def test_an_open_bar_has_the_values_it_would_have_if_it_closed_and_changes_nothing(
    declared: Declaration,
) -> None:
    indicators = of(declared)
    state = indicators.initial()
    for bar, other in zip(BARS, reversed(BARS), strict=True):
        before = indicators.dump(state)
        indicators.values(state, other)
        forked = indicators.values(state, bar)
        assert indicators.dump(state) == before
        state, values = indicators.step(state, bar)
        assert bits(forked) == bits(values)


@EACH
def test_a_restart_at_any_bar_changes_no_bit(declared: Declaration) -> None:
    indicators = of(declared)
    _, undisturbed = run(indicators, BARS)
    state, rows = indicators.initial(), []
    for bar in BARS:
        state, values = indicators.step(indicators.load(indicators.dump(state)), bar)
        rows.append(bits(values))
    assert rows == undisturbed


@pytest.mark.thorough
@EACH
def test_values_do_not_depend_on_which_other_columns_are_asked_for(declared: Declaration) -> None:
    everything = indicator_set()
    alone = of(declared)
    places = [everything.columns.index(column) for column in alone.columns]
    state_of_all, state_of_one = everything.initial(), alone.initial()
    for bar in BARS:
        state_of_all, all_values = everything.step(state_of_all, bar)
        state_of_one, values = alone.step(state_of_one, bar)
        # Sums of windows are nested, so the order of addition may differ in the last bit.
        for place, value in zip(places, values, strict=True):
            assert value == pytest.approx(all_values[place], rel=1e-9, abs=1e-9, nan_ok=True)


@EACH
def test_the_state_never_grows(declared: Declaration) -> None:
    indicators = of(declared)
    state, _ = run(indicators, BARS)
    shape = _shape(state)
    assert shape == _shape(indicators.initial())
    for _ in range(25):
        state, _ = run(indicators, BARS, state)
    assert _shape(state) == shape


def _shape(tree: Any) -> Any:
    return tuple(_shape(branch) for branch in tree) if isinstance(tree, tuple) else None


@EACH
def test_the_declared_warm_up_is_the_number_of_bars_before_the_first_value(declared: Declaration) -> None:
    indicators = of(declared)
    state, rows = indicators.initial(), []
    for bar in BARS:
        state, values = indicators.step(state, bar._replace(volume=bar.volume + 1.0))
        rows.append(values)
    for place, column in enumerate(indicators.columns):
        first = next(row for row, values in enumerate(rows) if not math.isnan(values[place]))
        if column in ("trend_psar_up", "trend_psar_down"):  # the first value waits for the first such market
            assert first >= indicators.warm_up[column]
        else:
            assert first == indicators.warm_up[column], column


@EACH
def test_a_declaration_describes_itself(declared: Declaration) -> None:
    assert declared.description.endswith(".")
    assert {column.split("_")[0] for column in declared.columns} == {declared.family}


def test_the_full_state_is_small_and_immutable() -> None:
    indicators = indicator_set()
    state, _ = run(indicators, BARS)
    assert len(indicators.dump(state)) <= 16_000
    assert _only_tuples_of_floats(state)


def _only_tuples_of_floats(tree: Any) -> bool:
    if isinstance(tree, tuple):
        return all(_only_tuples_of_floats(branch) for branch in tree)
    return isinstance(tree, float)


@hypothesis_settings(max_examples=25)
@given(awkward(), st.integers(0, 79))
def test_no_awkward_series_raises_or_looks_ahead_or_minds_a_restart(bars: list[Bar], cut: int) -> None:
    indicators = indicator_set()
    _, whole = run(indicators, bars)
    state, prefix = run(indicators, bars[:cut])
    assert prefix == whole[:cut]
    _, rest = run(indicators, bars[cut:], indicators.load(indicators.dump(state)))
    assert rest == whole[cut:]


@given(
    st.lists(
        st.tuples(*[st.floats(0.0, 1e300, allow_nan=False)] * 2, st.floats(0.0, 1e300)),
        min_size=1,
        max_size=70,
    )
)
@hypothesis_settings(max_examples=50)
def test_no_bar_raises_however_absurd(bars: list[tuple[float, float, float]]) -> None:
    indicators = indicator_set()
    state = indicators.initial()
    for a, b, volume in bars:
        bar = Bar(0, a, max(a, b), min(a, b), b, volume)
        indicators.values(state, bar)
        state, values = indicators.step(state, bar)
        assert len(values) == len(ALL_COLUMNS)
    assert indicators.dump(indicators.load(indicators.dump(state))) == indicators.dump(state)


def test_a_standing_market_has_no_bands_and_no_noise() -> None:
    indicators = indicator_set(
        ("volatility_bbw", "volatility_bbp", "trend_cci", "momentum_roc", "trend_macd")
    )
    price = 0.1 + 0.2  # not a sum that divides evenly
    state = indicators.initial()
    for index in range(100):
        state, values = indicators.step(state, Bar(index, price, price, price, price, 1.0))
    width, share, channel, rate, line = values
    assert (width, rate, line) == (0.0, 0.0, 0.0)
    assert math.isnan(share) and math.isnan(channel)
