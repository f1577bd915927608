"""Returns, as `ta` 0.11 `others.py` computes them: in percent, of one bar whatever its interval."""

from __future__ import annotations

from math import nan

from consumers.indicators.bar_inputs import AGE, CLOSE, PREVIOUS_CLOSE
from consumers.indicators.ieee import logarithm, over_zero
from consumers.indicators.step import Indicator, Memory, Stepped, without_memory
from consumers.indicators.windows import Inputs, Windows


def daily_return(_windows: Windows) -> Indicator:
    """Return since the bar before, in percent ("daily" in `ta`'s words)."""

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        close, before = inputs[CLOSE], inputs[PREVIOUS_CLOSE]
        return (((close / before if before else over_zero(close)) - 1.0) * 100.0,)

    return without_memory(step)


def daily_log_return(_windows: Windows) -> Indicator:
    """Logarithmic return since the bar before, in percent."""

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        level = logarithm(inputs[CLOSE])
        return (level - memory[0]) * 100.0, level

    return Indicator((nan,), step)


def cumulative_return(_windows: Windows) -> Indicator:
    """Return since the first bar of the series, in percent."""

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        close = inputs[CLOSE]
        origin = close if inputs[AGE] == 1.0 else memory[0]
        return ((close / origin if origin else over_zero(close)) - 1.0) * 100.0, origin

    return Indicator((nan,), step)
