"""Trend indicators, as `ta` 0.11 `trend.py` computes them: averages, oscillators of averages, price levels.

All prices and differences of prices are in the quote asset; oscillators say their range.
"""

from __future__ import annotations

from math import nan
from operator import mul

from consumers.indicators.ieee import over_zero
from consumers.indicators.quantities import (
    AGE,
    AMPLITUDE,
    CLOSE,
    HIGH,
    LOW,
    TRUE_RANGE,
    TYPICAL,
    VORTEX_DOWN,
    VORTEX_UP,
)
from consumers.indicators.step import Fading, Indicator, Memory, undefined
from consumers.indicators.windows import Now, Windows


def ema_weight(span: int) -> float:
    """The weight of the newest value in an exponential average over `span` bars."""
    return 2.0 / (span + 1.0)


def macd(windows: Windows, slow: int, fast: int, signal: int) -> Indicator:
    """Moving average convergence/divergence: fast minus slow average, its signal line, and their difference."""
    fast_average = windows.average(CLOSE, ema_weight(fast))
    slow_average = windows.average(CLOSE, ema_weight(slow))
    weight = ema_weight(signal)
    first = max(slow, fast)
    first_signal = first + signal - 1

    def step(memory: Memory, now: Now) -> Memory:
        age = now[AGE]
        if age < first:
            return memory
        line = now[fast_average] - now[slow_average]
        smoothed = memory[3]
        smoothed = smoothed + weight * (line - smoothed) if age > first else line
        if age < first_signal:
            return line, nan, nan, smoothed
        return line, smoothed, line - smoothed, smoothed

    return (nan, nan, nan, nan), step


def sma(windows: Windows, window: int) -> Indicator:
    """Simple moving average of the close."""
    total = windows.sum(CLOSE, window)

    def step(_memory: Memory, now: Now) -> Memory:
        return (now[total] / window,)

    return undefined(1), step


def ema(windows: Windows, window: int) -> Indicator:
    """Exponential moving average of the close, from the first close on."""
    average = windows.average(CLOSE, ema_weight(window))

    def step(_memory: Memory, now: Now) -> Memory:
        return (now[average] if now[AGE] >= window else nan,)

    return undefined(1), step


def wma(windows: Windows, window: int) -> Indicator:
    """Linearly weighted moving average of the close, the newest weighing most."""
    closes = windows.past(CLOSE, window)
    before = 1 - window
    weights = tuple(i * 2 / (window * (window + 1)) for i in range(1, window + 1))
    past_weights, newest_weight = weights[:-1], weights[-1]

    def step(_memory: Memory, now: Now) -> Memory:
        return (sum(map(mul, past_weights, now[closes][before:])) + newest_weight * now[CLOSE],)

    return undefined(1), step


def vortex(windows: Windows, window: int) -> Indicator:
    """Vortex: upward and downward movement per true range, and their difference; ±inf without any range."""
    up, down = windows.sum(VORTEX_UP, window), windows.sum(VORTEX_DOWN, window)
    ranges = windows.sum(TRUE_RANGE, window)

    def step(_memory: Memory, now: Now) -> Memory:
        span = now[ranges]
        if span:
            positive, negative = now[up] / span, now[down] / span
        else:
            positive, negative = over_zero(now[up]), over_zero(now[down])
        return positive, negative, positive - negative

    return undefined(3), step


def trix(windows: Windows, window: int) -> Indicator:
    """Change of a triple exponential average, in percent."""
    average = windows.average(CLOSE, ema_weight(window))
    weight = ema_weight(window)
    second_from, third_from, first = window, 2 * window - 1, 3 * window - 2

    def step(memory: Memory, now: Now) -> Memory:
        age = now[AGE]
        if age < second_from:
            return memory
        _, twice, thrice = memory
        once = now[average]
        twice = twice + weight * (once - twice) if age > second_from else once
        if age < third_from:
            return nan, twice, nan
        before, thrice = thrice, (thrice + weight * (twice - thrice) if age > third_from else twice)
        if age <= first:
            return nan, twice, thrice
        change = thrice - before
        return (change / before if before else over_zero(change)) * 100, twice, thrice

    return undefined(3), step


def mass_index(windows: Windows, fast: int, slow: int) -> Indicator:
    """Mass index: sum over `slow` bars of the average amplitude relative to its own average."""
    average = windows.average(AMPLITUDE, ema_weight(fast))
    weight = ema_weight(fast)
    twice_first = 2 * fast - 1

    def step(memory: Memory, now: Now) -> Memory:
        age = now[AGE]
        if age < fast:
            return memory
        _, twice, ratios = memory
        once = now[average]
        twice = twice + weight * (once - twice) if age > fast else once
        if age < twice_first:
            return nan, twice, ratios
        # Zero over zero while the market has not moved at all; pandas' windows take inf as missing too.
        ratio = once / twice if twice else nan
        return sum(ratios) + ratio, twice, (*ratios[1:], ratio)

    return (nan, nan, (nan,) * (slow - 1)), step


def dpo(windows: Windows, window: int) -> Indicator:
    """Detrended price: the close half a window ago less the simple average."""
    lag = int(0.5 * window + 1)
    closes, total = windows.past(CLOSE, max(window, lag + 1)), windows.sum(CLOSE, window)

    def step(_memory: Memory, now: Now) -> Memory:
        return (now[closes][-lag] - now[total] / window,)

    return undefined(1), step


def kst(windows: Windows, signal: int) -> Indicator:
    """Know sure thing: weighted sum of four smoothed rates of change in percent, its average, the difference.

    `ta` looks ahead in the first rows (TA.md "Look-ahead"); here they are NaN.
    """
    # (lag of the rate of change, bars it is averaged over, weight), from ta's defaults
    rates = ((10, 10, 100.0), (15, 10, 200.0), (20, 10, 300.0), (30, 15, 400.0))
    closes = windows.past(CLOSE, 31)
    divisors = tuple(bars / weight for _, bars, weight in rates)

    def step(memory: Memory, now: Now) -> Memory:
        _, _, _, recent, lines = memory
        close, past = now[CLOSE], now[closes]
        then10, then15, then20, then30 = past[-10], past[-15], past[-20], past[-30]
        rate10 = (close - then10) / then10 if then10 else nan
        rate15 = (close - then15) / then15 if then15 else nan
        rate20 = (close - then20) / then20 if then20 else nan
        rate30 = (close - then30) / then30 if then30 else nan
        old10, old15, old20, old30 = recent
        line = (
            (sum(old10) + rate10) / divisors[0]
            + (sum(old15) + rate15) / divisors[1]
            + (sum(old20) + rate20) / divisors[2]
            + (sum(old30) + rate30) / divisors[3]
        )
        smoothed = (sum(lines) + line) / signal
        recent = (
            (*old10[1:], rate10),
            (*old15[1:], rate15),
            (*old20[1:], rate20),
            (*old30[1:], rate30),
        )
        return line, smoothed, line - smoothed, recent, (*lines[1:], line)

    empty = tuple((nan,) * (bars - 1) for _, bars, _ in rates)
    return (nan, nan, nan, empty, (nan,) * (signal - 1)), step


def ichimoku(windows: Windows, conversion: int, base: int, span: int) -> Indicator:
    """Ichimoku: conversion and base line, leading spans A and B as of this bar (not yet shifted)."""
    high1, low1 = windows.highest(HIGH, conversion), windows.lowest(LOW, conversion)
    high2, low2 = windows.highest(HIGH, base), windows.lowest(LOW, base)
    high3, low3 = windows.highest(HIGH, span, partial=True), windows.lowest(LOW, span, partial=True)

    def step(_memory: Memory, now: Now) -> Memory:
        conversion_line = 0.5 * (now[high1] + now[low1])
        base_line = 0.5 * (now[high2] + now[low2])
        return (
            conversion_line,
            base_line,
            0.5 * (conversion_line + base_line),
            0.5 * (now[high3] + now[low3]),
        )

    return undefined(4), step


def visual_ichimoku(windows: Windows, conversion: int, base: int, span: int) -> Indicator:
    """Ichimoku's leading spans A and B as drawn: those of `base` bars ago.

    `ta` looks ahead in the first rows (TA.md "Look-ahead"); here they are NaN.
    """
    initial, lines = ichimoku(windows, conversion, base, span)

    def step(memory: Memory, now: Now) -> Memory:
        _, _, spans_a, spans_b = memory
        _, _, span_a, span_b = lines(initial, now)
        return spans_a[0], spans_b[0], (*spans_a[1:], span_a), (*spans_b[1:], span_b)

    return (nan, nan, (nan,) * base, (nan,) * base), step


def stc(windows: Windows, slow: int, fast: int, cycle: int, smooth1: int, smooth2: int) -> Indicator:
    """Schaff trend cycle, 0–100: a stochastic of a smoothed stochastic of the MACD line."""
    fast_average = windows.average(CLOSE, ema_weight(fast))
    slow_average = windows.average(CLOSE, ema_weight(slow))
    first = max(slow, fast)
    smooth_k, smooth_kd = Fading(smooth1), Fading(smooth2)

    def step(memory: Memory, now: Now) -> Memory:
        if now[AGE] < first:
            return memory
        _, lines, inner, smoothed, outer = memory
        line = now[fast_average] - now[slow_average]
        inner = smooth_k.step(inner, _stochastic(lines, line))
        shown = smooth_k.shown(inner)
        outer = smooth_kd.step(outer, _stochastic(smoothed, shown))
        return smooth_kd.shown(outer), (*lines[1:], line), inner, (*smoothed[1:], shown), outer

    empty = (nan,) * (cycle - 1)
    return (nan, empty, Fading.INITIAL, empty, Fading.INITIAL), step


def _stochastic(window: tuple[float, ...], value: float) -> float:
    """Where `value` lies in the range of itself and the window before it, in percent."""
    # The oldest comes first: a window that is not full gives NaN.
    lowest, highest = min((*window, value)), max((*window, value))
    return 100.0 * (value - lowest) / (highest - lowest) if highest != lowest else nan


def cci(windows: Windows, window: int) -> Indicator:
    """Commodity channel index: distance of the typical price from its average, in 0.015 mean deviations."""
    total, past = windows.sum(TYPICAL, window), windows.past(TYPICAL, window)
    before = 1 - window
    scale = 0.015 / window

    def step(_memory: Memory, now: Now) -> Memory:
        value = now[TYPICAL]
        mean = now[total] / window
        typical = now[past][before:]
        away = value - mean
        deviation = sum([abs(other - mean) for other in typical]) + abs(away)
        # Rounding of the mean must not make a value of a market that stands still (0/0).
        if deviation <= window * 1e-12 * mean and min(typical) == max(typical) == value:
            return (nan,)
        return (away / (scale * deviation) if deviation else nan,)

    return undefined(1), step


def aroon(windows: Windows, window: int) -> Indicator:
    """Aroon up and down, 0–100: how recent the highest high and lowest low of window + 1 bars are; up - down."""
    highest, lowest = windows.highest(HIGH, window + 1), windows.lowest(LOW, window + 1)
    highs, lows = windows.past(HIGH, window + 1), windows.past(LOW, window + 1)

    def step(memory: Memory, now: Now) -> Memory:
        if now[AGE] <= window:
            return memory
        up = _place(now[highs], now[highest], window) / window * 100
        down = _place(now[lows], now[lowest], window) / window * 100
        return up, down, up - down

    return undefined(3), step


def _place(past: tuple[float, ...], extreme: float, window: int) -> int:
    """Bars from the start of the window to the first bar at its extreme; `window` if that is the newest."""
    start = len(past) - window
    return past.index(extreme, start) - start if extreme in past[start:] else window
