"""Trend indicators, as `ta` 0.11 `trend.py` computes them, from the highs and lows of windows."""

from __future__ import annotations

from bisect import bisect_left, insort
from math import inf, isnan, nan

from consumers.indicators.bar_inputs import AGE, HIGH, LOW, TRUE_RANGE, TYPICAL, VORTEX_DOWN, VORTEX_UP
from consumers.indicators.ieee import over_zero, sum_in_order
from consumers.indicators.step import Indicator, Memory, Stepped, shifted, without_memory
from consumers.indicators.windows import Inputs, Windows


def vortex(windows: Windows, window: int) -> Indicator:
    """Vortex: upward and downward movement per true range, and their difference; ±inf without any range."""
    up, down = windows.sum(VORTEX_UP, window), windows.sum(VORTEX_DOWN, window)
    ranges = windows.sum(TRUE_RANGE, window)

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        span = inputs[ranges]
        if span:
            positive, negative = inputs[up] / span, inputs[down] / span
        else:
            positive, negative = over_zero(inputs[up]), over_zero(inputs[down])
        return positive, negative, positive - negative

    return without_memory(step)


def ichimoku(windows: Windows, conversion: int, base: int, span: int) -> Indicator:
    """Ichimoku: conversion and base line, leading spans A and B, and both as drawn, `base` bars later.

    `ta` looks ahead in the first rows of the drawn spans (TA.md "Look-ahead"); here they are NaN.
    """
    high1, low1 = windows.highest(HIGH, conversion), windows.lowest(LOW, conversion)
    high2, low2 = windows.highest(HIGH, base), windows.lowest(LOW, base)
    high3, low3 = windows.highest(HIGH, span), windows.lowest(LOW, span)

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        age = inputs[AGE]
        conversion_line = 0.5 * (inputs[high1] + inputs[low1]) if age >= conversion else nan
        base_line = 0.5 * (inputs[high2] + inputs[low2]) if age >= base else nan
        return (
            conversion_line,
            base_line,
            0.5 * (conversion_line + base_line),
            0.5 * (inputs[high3] + inputs[low3]),
            memory[0][0],
            memory[1][0],
        )

    def close(memory: Memory, stepped: Stepped, _inputs: Inputs) -> Memory:
        spans_a = shifted(memory[0], stepped[2])
        spans_b = shifted(memory[1], stepped[3])
        return spans_a, spans_b

    return Indicator(((nan,) * base, (nan,) * base), step, close)


def cci(windows: Windows, window: int) -> Indicator:
    """Commodity channel index: distance of the typical price from its average, in 0.015 mean deviations."""
    typicals, past = windows.tail(TYPICAL, window), windows.past(TYPICAL, window)
    tail = window - 1
    scale = 0.015 / window

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        # The last n - 1 prices, sorted, relative to a recent price, to limit cancellation.
        origin, total, ranked = memory
        value = inputs[TYPICAL] - origin
        if ranked[0] == value == ranked[-1]:  # 0/0 while the market stands still
            return (nan,)
        mean = (total + value) / window
        below = bisect_left(ranked, mean)
        under = sum_in_order(ranked[:below])
        # Distances of values below the mean, then of those above it, then of the new value.
        deviation = (mean * below - under) + (total - under - mean * (tail - below)) + abs(value - mean)
        return ((value - mean) / (scale * deviation) if deviation else nan,)

    def close(memory: Memory, _stepped: Stepped, inputs: Inputs) -> Memory:
        origin, total, ranked = memory
        typical = inputs[TYPICAL]
        # With missing (NaN: warm-up) or infinite values there is no order to update.
        if inputs[AGE] % window == 0.0 or not -inf < total < inf:
            origin = typical
            ranked = tuple(_ranked(inputs[typicals], origin))
        else:
            left = inputs[past][-tail] - origin
            ranked = tuple(_exchanged(ranked, left, typical - origin))
        return origin, sum_in_order(ranked), ranked

    return Indicator((nan, nan, (nan,) * tail), step, close)


def _ranked(values: tuple[float, ...], origin: float) -> list[float]:
    return sorted([value - origin for value in values])


def _exchanged(ranked: tuple[float, ...], old: float, new: float) -> list[float]:
    values = list(ranked)
    del values[bisect_left(values, old)]
    insort(values, new)
    return values


def aroon(windows: Windows, window: int) -> Indicator:
    """Aroon up and down, 0–100: how recent the extremes of window + 1 bars are; their difference."""
    highs, lows = windows.tail(HIGH, window + 1), windows.tail(LOW, window + 1)

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        top, top_place, bottom, bottom_place = memory
        if inputs[AGE] <= window:
            return nan, nan, nan
        up = (window if inputs[HIGH] > top else top_place) / window * 100
        down = (window if inputs[LOW] < bottom else bottom_place) / window * 100
        return up, down, up - down

    def close(memory: Memory, _stepped: Stepped, inputs: Inputs) -> Memory:
        # Highest and lowest of the last `window` bars, and their positions in the window.
        top, top_place, bottom, bottom_place = memory
        high, low = inputs[HIGH], inputs[LOW]
        if top_place and not high > top:
            top_place -= 1.0
        else:
            recent = inputs[highs]
            top = max(recent)
            top_place = float(recent.index(top)) if not isnan(top) else 0.0
        if bottom_place and not low < bottom:
            bottom_place -= 1.0
        else:
            recent = inputs[lows]
            bottom = min(recent)
            bottom_place = float(recent.index(bottom)) if not isnan(bottom) else 0.0
        return top, top_place, bottom, bottom_place

    return Indicator((nan, 0.0, nan, 0.0), step, close)
