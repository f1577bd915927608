"""The exponential average over holes is that of pandas."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.indicators.step import ewm_step, highest_of, lowest_of, shifted

SERIES = st.lists(st.one_of(st.just(math.nan), st.floats(-1e6, 1e6)), min_size=1, max_size=60)


@pytest.mark.thorough
@pytest.mark.parametrize("span", [2, 3, 5, 9])  # pandas treats 3 in a way of its own
@given(values=SERIES)
def test_holes_keep_the_average_and_fade_the_past(span: int, values: list[float]) -> None:
    memory, ours = (math.nan, 1.0, 0.0), []
    for value in values:
        memory = ewm_step(*memory, value, span)
        ours.append(memory[0] if memory[2] >= span else math.nan)
    theirs = pd.Series(values, dtype=float).ewm(span=span, min_periods=span, adjust=False).mean()
    np.testing.assert_allclose(ours, theirs.to_numpy(), rtol=1e-12, atol=1e-9)


@given(st.lists(st.integers(0, 9).map(float), min_size=1, max_size=60))
def test_extremes_that_are_mended_are_those_of_the_window(values: list[float]) -> None:
    window: tuple[float, ...] = (math.nan,) * 5
    lowest = highest = math.nan
    for count, value in enumerate(values, 1):
        left, window = window[0], shifted(window, value)
        lowest, highest = lowest_of(window, lowest, left), highest_of(window, highest, left)
        if count >= 5:
            assert (lowest, highest) == (min(window), max(window))
        else:
            assert math.isnan(lowest) and math.isnan(highest)
