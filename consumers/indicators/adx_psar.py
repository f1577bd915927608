"""Trend indicators with their own history: directional movement (ADX) and the parabolic stop (PSAR)."""

from __future__ import annotations

from math import nan

from consumers.indicators.bar_inputs import AGE, CLOSE, HIGH, LOW, PREVIOUS_HIGH, PREVIOUS_LOW, TRUE_RANGE
from consumers.indicators.step import Indicator, Memory, Stepped
from consumers.indicators.windows import Inputs, Windows


def adx(_windows: Windows, window: int) -> Indicator:
    """Average directional index, positive and negative direction, 0–100 (Wilder 1978).

    As in `ta` they begin with 0.0, not NaN. The sums follow `ta`'s order of operations, since rounding can
    change the comparisons that decide directions.
    """
    first_direction = window + 1  # bars, since the first has no movement
    first_average = 2 * window

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        average, _, _, ranges, ups, downs, indices = memory
        age = inputs[AGE]
        if age < 2.0:
            return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        up, down = inputs[HIGH] - inputs[PREVIOUS_HIGH], inputs[PREVIOUS_LOW] - inputs[LOW]
        rise = up if up > down and up > 0.0 else 0.0
        fall = down if down > up and down > 0.0 else 0.0
        if age <= first_direction:
            ranges, ups, downs = ranges + inputs[TRUE_RANGE], ups + rise, downs + fall
        else:
            ranges = ranges - ranges / window + inputs[TRUE_RANGE]
            ups = ups - ups / window + rise
            downs = downs - downs / window + fall
        if age < first_direction:
            return 0.0, 0.0, 0.0, ranges, ups, downs, 0.0
        positive, negative = (100.0 * (ups / ranges), 100.0 * (downs / ranges)) if ranges else (0.0, 0.0)
        both = positive + negative
        index = 100.0 * abs((positive - negative) / both) if both else 0.0
        if age <= first_average:
            indices += index
            average = indices / window if age == first_average else 0.0
        else:
            average = (average * (window - 1) + index) / window
        if age == first_direction:
            return 0.0, 0.0, 0.0, ranges, ups, downs, indices
        return average, positive, negative, ranges, ups, downs, indices

    return Indicator((0.0,) * 7, step)


def psar(_windows: Windows) -> Indicator:
    """Parabolic stop and reverse: the stop of a rising and a falling market, and 1 on the bar of a turn.

    Acceleration 0.02 to 0.2, as `ta`.
    """
    step_size, largest = 0.02, 0.20

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        stop, rising, acceleration, top, bottom, low2, high2 = memory
        age, high, low = inputs[AGE], inputs[HIGH], inputs[LOW]
        if age < 3.0:
            if age < 2.0:
                top, bottom = high, low
            return (
                nan,
                nan,
                0.0,
                0.0,
                inputs[CLOSE],
                1.0,
                step_size,
                top,
                bottom,
                inputs[PREVIOUS_LOW],
                inputs[PREVIOUS_HIGH],
            )
        low1, high1 = inputs[PREVIOUS_LOW], inputs[PREVIOUS_HIGH]
        turned = age == 3.0 and rising
        if rising:
            stop += acceleration * (top - stop)
            if low < stop:
                turned, rising, stop, bottom, acceleration = True, 0.0, top, low, step_size
            else:
                if high > top:
                    top, acceleration = high, min(acceleration + step_size, largest)
                stop = low2 if low2 < stop else low1 if low1 < stop else stop
        else:
            stop -= acceleration * (stop - bottom)
            if high > stop:
                turned, rising, stop, top, acceleration = True, 1.0, bottom, high, step_size
            else:
                if low < bottom:
                    bottom, acceleration = low, min(acceleration + step_size, largest)
                stop = high2 if high2 > stop else high1 if high1 > stop else stop
        turn = 1.0 if turned else 0.0
        if rising:
            return stop, nan, turn, 0.0, stop, rising, acceleration, top, bottom, low1, high1
        return nan, stop, 0.0, turn, stop, rising, acceleration, top, bottom, low1, high1

    return Indicator((nan, 1.0, step_size, nan, nan, nan, nan), step)
