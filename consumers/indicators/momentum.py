"""Momentum indicators, as `ta` 0.11 `momentum.py` computes them."""

from __future__ import annotations

from math import nan

from consumers.indicators.bar_inputs import (
    AGE,
    BUYING_PRESSURE,
    CHANGE,
    CLOSE,
    DISTANCE,
    GAIN,
    HIGH,
    LOSS,
    LOW,
    MEDIAN,
    TRUE_RANGE,
    VOLUME,
)
from consumers.indicators.ieee import over_zero, sum_in_order
from consumers.indicators.step import (
    Indicator,
    Memory,
    Stepped,
    ewm_step,
    highest_of,
    lowest_of,
    shifted,
    without_memory,
)
from consumers.indicators.trend import ema_weight
from consumers.indicators.windows import Inputs, Windows


def rsi(windows: Windows, window: int) -> Indicator:
    """Relative strength index, 0–100; 100 without any loss (Wilder 1978)."""
    gains, losses = windows.average(GAIN, 1.0 / window), windows.average(LOSS, 1.0 / window)

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        if inputs[AGE] < window:
            return (nan,)
        loss = inputs[losses]
        return (100.0 - 100.0 / (1.0 + inputs[gains] / loss) if loss else 100.0,)

    return without_memory(step)


def stoch_rsi(windows: Windows, window: int, smooth1: int, smooth2: int) -> Indicator:
    """Stochastic of the relative strength index, 0–1, smoothed once (k) and twice (d)."""
    index = rsi(windows, window).step

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        lowest, highest, position_sum, k_sum, _, _, _ = memory
        (value,) = index((), inputs)
        # NaN while the window is not full.
        highest = value if value > highest else highest
        lowest = value if value < lowest else lowest
        spread = highest - lowest
        position = (value - lowest) / spread if spread else nan
        k = (position_sum + position) / smooth1
        return position, k, (k_sum + k) / smooth2, value

    def close(memory: Memory, stepped: Stepped, _inputs: Inputs) -> Memory:
        lowest, highest, _, _, values, positions, ks = memory
        position, k, _, value = stepped
        left = values[0]
        values = shifted(values, value)
        positions = shifted(positions, position)
        ks = shifted(ks, k)
        lowest = lowest_of(values, lowest, left)
        highest = highest_of(values, highest, left)
        return lowest, highest, sum_in_order(positions), sum_in_order(ks), values, positions, ks

    empty = (nan,) * (window - 1), (nan,) * (smooth1 - 1), (nan,) * (smooth2 - 1)
    return Indicator((nan, nan, nan, nan, *empty), step, close)


def tsi(windows: Windows, slow: int, fast: int) -> Indicator:
    """True strength index, -100–100: doubly smoothed change of the close over doubly smoothed distance."""
    changes, distances = (
        windows.average(CHANGE, ema_weight(slow)),
        windows.average(DISTANCE, ema_weight(slow)),
    )
    weight = ema_weight(fast)
    second_from = slow + 1  # bars, since the first has no change
    first = second_from + fast - 1

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        age = inputs[AGE]
        if age < second_from:
            return nan, nan, nan
        change, distance = memory
        change = change + weight * (inputs[changes] - change) if age > second_from else inputs[changes]
        distance = (
            distance + weight * (inputs[distances] - distance) if age > second_from else inputs[distances]
        )
        if age < first:
            return nan, change, distance
        return (change / distance if distance else over_zero(change)) * 100.0, change, distance

    return Indicator((nan, nan), step)


def uo(windows: Windows, window1: int, window2: int, window3: int) -> Indicator:
    """Ultimate oscillator, 0–100: buying pressure per true range over three windows, weighing 4, 2 and 1."""
    pairs = tuple(
        (windows.sum(BUYING_PRESSURE, window), windows.sum(TRUE_RANGE, window))
        for window in (window1, window2, window3)
    )
    (pressure1, range1), (pressure2, range2), (pressure3, range3) = pairs

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        span1, span2, span3 = inputs[range1], inputs[range2], inputs[range3]
        if span1 and span2 and span3:
            parts = (
                4.0 * (inputs[pressure1] / span1)
                + 2.0 * (inputs[pressure2] / span2)
                + inputs[pressure3] / span3
            )
            return (100.0 * parts / 7.0,)
        return (nan,)

    return without_memory(step)


def stochastic(windows: Windows, window: int, smooth: int) -> Indicator:
    """Stochastic oscillator %K, 0–100: where the close lies in the window's range; and its average %D."""
    highest, lowest = windows.highest(HIGH, window), windows.lowest(LOW, window)

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        if inputs[AGE] < window:
            return nan, nan
        bottom = inputs[lowest]
        spread = inputs[highest] - bottom
        k = 100.0 * (inputs[CLOSE] - bottom) / spread if spread else nan
        return k, (memory[0] + k) / smooth

    def close(memory: Memory, stepped: Stepped, _inputs: Inputs) -> Memory:
        recent = shifted(memory[1], stepped[0])
        return sum_in_order(recent), recent

    return Indicator((nan, (nan,) * (smooth - 1)), step, close)


def williams_r(windows: Windows, window: int) -> Indicator:
    """Williams %R, -100–0: how far the close lies below the highest high of the window."""
    highest, lowest = windows.highest(HIGH, window), windows.lowest(LOW, window)

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        if inputs[AGE] < window:
            return (nan,)
        top = inputs[highest]
        spread = top - inputs[lowest]
        return (-100.0 * (top - inputs[CLOSE]) / spread if spread else nan,)

    return without_memory(step)


def ao(windows: Windows, window1: int, window2: int) -> Indicator:
    """Awesome oscillator: short less long simple average of the bars' middles, in the quote asset."""
    short, long = windows.sum(MEDIAN, window1), windows.sum(MEDIAN, window2)

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        return (inputs[short] / window1 - inputs[long] / window2,)

    return without_memory(step)


def roc(windows: Windows, window: int) -> Indicator:
    """Rate of change of the close over `window` bars, in percent."""
    closes = windows.past(CLOSE, window + 1)

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        then = inputs[closes][-window]
        change = inputs[CLOSE] - then
        return ((change / then if then else over_zero(change)) * 100.0,)

    return without_memory(step)


def ppo(windows: Windows, slow: int, fast: int, signal: int) -> Indicator:
    """Percentage price oscillator: MACD in percent of the slow average, its signal line, their difference."""
    return _percentage(windows, CLOSE, slow, fast, signal)


def pvo(windows: Windows, slow: int, fast: int, signal: int) -> Indicator:
    """Percentage volume oscillator: the same of the volume; NaN while nothing has ever been traded."""
    return _percentage(windows, VOLUME, slow, fast, signal)


def _percentage(windows: Windows, bar_input: int, slow: int, fast: int, signal: int) -> Indicator:
    fast_average = windows.average(bar_input, ema_weight(fast))
    slow_average = windows.average(bar_input, ema_weight(slow))
    first = max(slow, fast)

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        if inputs[AGE] < first:
            return nan, nan, nan, nan, 1.0, 0.0
        smoothed, weight, seen = memory
        level = inputs[slow_average]
        line = (inputs[fast_average] - level) / level * 100.0 if level else nan
        smoothed, weight, seen = ewm_step(smoothed, weight, seen, line, signal)
        shown = smoothed if seen >= signal else nan
        return line, shown, line - shown, smoothed, weight, seen

    return Indicator((nan, 1.0, 0.0), step)


def kama(windows: Windows, window: int) -> Indicator:
    """Kaufman's adaptive moving average: fast when the price goes one way, slow when it wavers."""
    closes, travelled = windows.past(CLOSE, window + 1), windows.sum(DISTANCE, window)
    slowest, fastest = 2.0 / 31.0, 2.0 / 3.0  # weights of averages over 30 and 2 bars, as ta's defaults

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        age = inputs[AGE]
        if age < window:
            return (nan,)
        close = inputs[CLOSE]
        if age == window:
            return (close,)
        (average,) = memory
        way = inputs[travelled]
        efficiency = abs(close - inputs[closes][-window]) / way if way else 0.0
        weight = efficiency * (fastest - slowest) + slowest
        return (average + weight * weight * (close - average),)

    return Indicator((nan,), step)
