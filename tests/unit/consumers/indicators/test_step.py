"""The exponential average over holes is that of pandas."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.indicators.step import Fading

SERIES = st.lists(st.one_of(st.just(math.nan), st.floats(-1e6, 1e6)), min_size=1, max_size=60)


@pytest.mark.parametrize("span", [2, 3, 5, 9])  # pandas treats 3 in a way of its own
@given(values=SERIES)
def test_holes_keep_the_average_and_fade_the_past(span: int, values: list[float]) -> None:
    smoothing = Fading(span)
    memory, ours = Fading.INITIAL, []
    for value in values:
        memory = smoothing.step(memory, value)
        ours.append(smoothing.shown(memory))
    theirs = pd.Series(values, dtype=float).ewm(span=span, min_periods=span, adjust=False).mean()
    np.testing.assert_allclose(ours, theirs.to_numpy(), rtol=1e-12, atol=1e-9)
