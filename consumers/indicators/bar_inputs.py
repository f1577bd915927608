"""Bar inputs: numbers derived from a bar and the one before it; windows and averages run over them.

The used ones are computed once per bar, in `ta`'s order of float64 operations where a comparison depends on
the last bit (typical price, directional movement: TA.md "Numerically delicate").
"""

from __future__ import annotations

from math import inf, nan
from typing import Final

from consumers.indicators.bars import Bar
from consumers.indicators.ieee import over_zero

# Positions in the tuple that `bar_inputs` returns.
(
    AGE,  # bars of the series up to this one; exact in float64 for 2^53 bars
    HIGH,
    LOW,
    CLOSE,
    VOLUME,
    TYPICAL,  # (high + low + close) / 3
    PREVIOUS_HIGH,
    PREVIOUS_LOW,
    PREVIOUS_CLOSE,
    PREVIOUS_VOLUME,
    CHANGE,  # of the close
    DISTANCE,  # |CHANGE|
    GAIN,
    LOSS,
    AMPLITUDE,  # high - low
    MEDIAN,  # (high + low) / 2
    TRUE_RANGE,
    BUYING_PRESSURE,
    TYPICAL_VOLUME,
    MONEY_IN,  # typical price × volume where the typical price rose
    MONEY_OUT,  # … where it fell
    MONEY_FLOW_VOLUME,  # volume × where in its range the bar closed, -1…1
    FORCE,
    EASE_OF_MOVEMENT,
    EASE_OF_MOVEMENT_FINITE,  # pandas' windows take ±inf as missing
    VORTEX_UP,
    VORTEX_DOWN,
    KELTNER_HIGH,
    KELTNER_LOW,
) = range(29)
COUNT: Final = 29

BarInputs = tuple[float, ...]

# Inputs of this bar that the next bar needs.
KEPT: Final = (AGE, HIGH, LOW, CLOSE, VOLUME, TYPICAL)
BEFORE_THE_FIRST_BAR: Final[BarInputs] = (0.0, nan, nan, nan, nan, nan)


def bar_inputs(before: BarInputs, bar: Bar) -> BarInputs:
    """The inputs of `bar`, given those `KEPT` of the bar before it (inlined: see step.py)."""
    _, _, high, low, close, volume = bar
    age, previous_high, previous_low, previous_close, previous_volume, previous_typical = before
    typical = (high + low + close) / 3.0
    typical_volume = typical * volume
    amplitude = high - low
    change = close - previous_close
    rise = high - previous_high + (low - previous_low)
    # Comparisons with the NaN before the first bar are false: its true range is its amplitude.
    top = previous_close if previous_close > high else high
    bottom = previous_close if previous_close < low else low
    double_volume = 2.0 * volume
    range_change = rise * amplitude
    ease = (range_change / double_volume if double_volume else over_zero(range_change)) * 100000000.0
    return (
        age + 1.0,
        high,
        low,
        close,
        volume,
        typical,
        previous_high,
        previous_low,
        previous_close,
        previous_volume,
        change,
        abs(change),
        change if change > 0.0 else 0.0,
        -change if change < 0.0 else 0.0,
        amplitude,
        0.5 * (high + low),
        top - bottom,
        close - bottom if age else nan,
        typical_volume,
        typical_volume if typical > previous_typical else 0.0,
        typical_volume if typical < previous_typical else 0.0,
        ((close - low) - (high - close)) / amplitude * volume if amplitude else 0.0,
        change * volume,
        ease,
        ease if -inf < ease < inf else nan,
        abs(high - previous_low),
        abs(low - previous_high),
        ((4.0 * high) - (2.0 * low) + close) / 3.0,
        ((-2.0 * high) + (4.0 * low) + close) / 3.0,
    )
