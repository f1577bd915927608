"""Volatility indicators, as `ta` 0.11 `volatility.py` computes them."""

from __future__ import annotations

from math import dist, isnan, nan, sqrt

from consumers.indicators.bar_inputs import (
    AGE,
    CLOSE,
    HIGH,
    KELTNER_HIGH,
    KELTNER_LOW,
    LOW,
    TRUE_RANGE,
    TYPICAL,
)
from consumers.indicators.ieee import over_zero, sum_in_order
from consumers.indicators.step import Indicator, Memory, Stepped, shifted, without_memory
from consumers.indicators.windows import Inputs, Windows


def bollinger(windows: Windows, window: int, deviations: int) -> Indicator:
    """Bollinger bands: middle, high, low, width in percent, %b, and 1 while the close is above/below a band.

    The deviation is that of the window itself, taken afresh: pandas updates a running variance, whose error
    reaches 1e-7 on low prices (TA.md "Numerically delicate").
    """
    closes = windows.tail(CLOSE, window)
    tail = window - 1

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        past_mean, past_squares = memory
        close = inputs[CLOSE]
        # One value added to n - 1 of known mean and sum of squared distances; exact for a constant price.
        away = close - past_mean
        mean = past_mean + away / window
        deviation = sqrt((past_squares + away * away * tail / window) / window)
        high, low = mean + deviations * deviation, mean - deviations * deviation
        spread = high - low
        return (
            mean,
            high,
            low,
            (spread / mean if mean else over_zero(spread)) * 100.0,
            (close - low) / spread if spread else nan,
            1.0 if close > high else 0.0,
            1.0 if close < low else 0.0,
        )

    def close(_memory: Memory, _stepped: Stepped, inputs: Inputs) -> Memory:
        recent = inputs[closes]
        mean = sum_in_order(recent) / tail
        distance = dist(recent, (mean,) * tail)
        # Rounding of the mean must not make a band around a constant price.
        if distance <= 1e-12 * mean and min(recent) == max(recent):
            return inputs[CLOSE], 0.0
        return mean, distance * distance

    return Indicator((nan, nan), step, close)


def keltner(windows: Windows, window: int) -> Indicator:
    """Keltner channel: middle, high, low, width in percent, position, and 1 while the close is above/below.

    As `ta` has it, the high and low lines have no warm-up: they average the bars there are.
    """
    middle = windows.sum(TYPICAL, window)
    highs, lows = windows.sum(KELTNER_HIGH, window), windows.sum(KELTNER_LOW, window)
    past_highs, past_lows = windows.past(KELTNER_HIGH, window), windows.past(KELTNER_LOW, window)

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        age, close = inputs[AGE], inputs[CLOSE]
        if age >= window:
            high, low = inputs[highs] / window, inputs[lows] / window
        else:
            high = (_sum_of_known(inputs[past_highs]) + inputs[KELTNER_HIGH]) / age
            low = (_sum_of_known(inputs[past_lows]) + inputs[KELTNER_LOW]) / age
        mean = inputs[middle] / window
        spread = high - low
        above = close - low
        return (
            mean,
            high,
            low,
            (spread / mean if mean else over_zero(spread)) * 100.0,
            above / spread if spread else over_zero(above),
            1.0 if close > high else 0.0,
            1.0 if close < low else 0.0,
        )

    return without_memory(step)


def _sum_of_known(window: tuple[float, ...]) -> float:
    return sum_in_order([value for value in window if not isnan(value)])


def donchian(windows: Windows, window: int) -> Indicator:
    """Donchian channel: lowest low, highest high, middle, width in percent of the average, position 0–1."""
    highest, lowest = windows.highest(HIGH, window), windows.lowest(LOW, window)
    total = windows.sum(CLOSE, window)

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        if inputs[AGE] < window:
            return nan, nan, nan, nan, nan
        high, low = inputs[highest], inputs[lowest]
        spread = high - low
        mean = inputs[total] / window
        return (
            low,
            high,
            spread / 2.0 + low,
            (spread / mean if mean else over_zero(spread)) * 100.0,
            (inputs[CLOSE] - low) / spread if spread else nan,
        )

    return without_memory(step)


def atr(_windows: Windows, window: int) -> Indicator:
    """Average true range in the quote asset (Wilder 1978). As `ta` has it, it begins with 0.0, not NaN."""

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        average, total = memory
        age = inputs[AGE]
        if age > window:
            return (average * (window - 1) + inputs[TRUE_RANGE]) / window, total
        total += inputs[TRUE_RANGE]
        return total / window if age == window else 0.0, total

    return Indicator((0.0, 0.0), step)


def ulcer_index(windows: Windows, window: int) -> Indicator:
    """Ulcer index: root mean square of the drawdowns from the highest close of the window, in percent."""
    highest = windows.highest(CLOSE, window)

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        top = inputs[highest]
        drawdown = 100.0 * (inputs[CLOSE] - top) / top if top else nan
        square = drawdown * drawdown
        return sqrt((memory[0] + square) / window), square

    def close(memory: Memory, stepped: Stepped, _inputs: Inputs) -> Memory:
        squares = shifted(memory[1], stepped[1])
        return sum_in_order(squares), squares

    return Indicator((nan, (nan,) * (window - 1)), step, close)
