"""Volatility indicators, as `ta` 0.11 `volatility.py` computes them."""

from __future__ import annotations

from math import dist, isnan, nan, sqrt

from consumers.indicators.ieee import over_zero
from consumers.indicators.quantities import (
    AGE,
    CLOSE,
    HIGH,
    KELTNER_HIGH,
    KELTNER_LOW,
    LOW,
    TRUE_RANGE,
    TYPICAL,
)
from consumers.indicators.step import Indicator, Memory, Stepped, moved, without_memory
from consumers.indicators.windows import Now, Windows


def bollinger(windows: Windows, window: int, deviations: int) -> Indicator:
    """Bollinger bands: middle, high, low, width in percent, %b, and 1 while the close is above/below a band.

    The deviation is that of the window itself, taken afresh: pandas updates a running variance, whose error
    reaches 1e-7 on low prices (TA.md "Numerically delicate").
    """
    closes = windows.tail(CLOSE, window)
    tail = window - 1

    def step(memory: Memory, now: Now) -> Stepped:
        past_mean, past_squares = memory
        close = now[CLOSE]
        # One value joins n - 1 of known mean and squared distance from it; both exact while the price stands
        # still.
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

    def close(_memory: Memory, _stepped: Stepped, now: Now) -> Memory:
        recent = now[closes]
        mean = sum(recent) / tail
        distance = dist(recent, (mean,) * tail)
        # Rounding of the mean must not make a band around a price that stands still.
        if distance <= 1e-12 * mean and min(recent) == max(recent):
            return now[CLOSE], 0.0
        return mean, distance * distance

    return Indicator((nan, nan), step, close)


def keltner(windows: Windows, window: int) -> Indicator:
    """Keltner channel: middle, high, low, width in percent, position, and 1 while the close is above/below.

    As `ta` has it, the high and low lines have no warm-up: they average the bars there are.
    """
    middle = windows.sum(TYPICAL, window)
    highs, lows = windows.sum(KELTNER_HIGH, window), windows.sum(KELTNER_LOW, window)
    past_highs, past_lows = windows.past(KELTNER_HIGH, window), windows.past(KELTNER_LOW, window)

    def step(_memory: Memory, now: Now) -> Stepped:
        age, close = now[AGE], now[CLOSE]
        if age >= window:
            high, low = now[highs] / window, now[lows] / window
        else:
            high = (_sum_of_known(now[past_highs]) + now[KELTNER_HIGH]) / age
            low = (_sum_of_known(now[past_lows]) + now[KELTNER_LOW]) / age
        mean = now[middle] / window
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
    return sum([value for value in window if not isnan(value)])


def donchian(windows: Windows, window: int) -> Indicator:
    """Donchian channel: lowest low, highest high, middle, width in percent of the average, position 0–1."""
    highest, lowest = windows.highest(HIGH, window), windows.lowest(LOW, window)
    total = windows.sum(CLOSE, window)

    def step(_memory: Memory, now: Now) -> Stepped:
        if now[AGE] < window:
            return nan, nan, nan, nan, nan
        high, low = now[highest], now[lowest]
        spread = high - low
        mean = now[total] / window
        return (
            low,
            high,
            spread / 2.0 + low,
            (spread / mean if mean else over_zero(spread)) * 100.0,
            (now[CLOSE] - low) / spread if spread else nan,
        )

    return without_memory(step)


def atr(_windows: Windows, window: int) -> Indicator:
    """Average true range in the quote asset (Wilder 1978). As `ta` has it, it begins with 0.0, not NaN."""

    def step(memory: Memory, now: Now) -> Stepped:
        average, total = memory
        age = now[AGE]
        if age > window:
            return (average * (window - 1) + now[TRUE_RANGE]) / window, total
        total += now[TRUE_RANGE]
        return total / window if age == window else 0.0, total

    return Indicator((0.0, 0.0), step)


def ulcer_index(windows: Windows, window: int) -> Indicator:
    """Ulcer index: root mean square of the drawdowns from the highest close of the window, in percent."""
    highest = windows.highest(CLOSE, window)

    def step(memory: Memory, now: Now) -> Stepped:
        top = now[highest]
        drawdown = 100.0 * (now[CLOSE] - top) / top if top else nan
        square = drawdown * drawdown
        return sqrt((memory[0] + square) / window), square

    def close(memory: Memory, stepped: Stepped, _now: Now) -> Memory:
        squares = moved(memory[1], stepped[1])
        return sum(squares), squares

    return Indicator((nan, (nan,) * (window - 1)), step, close)
