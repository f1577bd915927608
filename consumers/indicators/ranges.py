"""Trend indicators, as `ta` 0.11 `trend.py` computes them: what highs and lows of a window say."""

from __future__ import annotations

from bisect import bisect_left, insort
from math import inf, isnan, nan

from consumers.indicators.ieee import over_zero
from consumers.indicators.quantities import AGE, HIGH, LOW, TRUE_RANGE, TYPICAL, VORTEX_DOWN, VORTEX_UP
from consumers.indicators.step import Indicator, Memory, Stepped, moved, without_memory
from consumers.indicators.windows import Now, Windows


def vortex(windows: Windows, window: int) -> Indicator:
    """Vortex: upward and downward movement per true range, and their difference; ±inf without any range."""
    up, down = windows.sum(VORTEX_UP, window), windows.sum(VORTEX_DOWN, window)
    ranges = windows.sum(TRUE_RANGE, window)

    def step(_memory: Memory, now: Now) -> Stepped:
        span = now[ranges]
        if span:
            positive, negative = now[up] / span, now[down] / span
        else:
            positive, negative = over_zero(now[up]), over_zero(now[down])
        return positive, negative, positive - negative

    return without_memory(step)


def ichimoku(windows: Windows, conversion: int, base: int, span: int) -> Indicator:
    """Ichimoku: conversion and base line, leading spans A and B, and both as drawn, `base` bars later.

    `ta` looks ahead in the first rows of the drawn spans (TA.md "Look-ahead"); here they are NaN.
    """
    high1, low1 = windows.highest(HIGH, conversion), windows.lowest(LOW, conversion)
    high2, low2 = windows.highest(HIGH, base), windows.lowest(LOW, base)
    high3, low3 = windows.highest(HIGH, span), windows.lowest(LOW, span)

    def step(memory: Memory, now: Now) -> Stepped:
        age = now[AGE]
        conversion_line = 0.5 * (now[high1] + now[low1]) if age >= conversion else nan
        base_line = 0.5 * (now[high2] + now[low2]) if age >= base else nan
        return (
            conversion_line,
            base_line,
            0.5 * (conversion_line + base_line),
            0.5 * (now[high3] + now[low3]),
            memory[0][0],
            memory[1][0],
        )

    def close(memory: Memory, stepped: Stepped, _now: Now) -> Memory:
        spans_a = moved(memory[0], stepped[2])
        spans_b = moved(memory[1], stepped[3])
        return spans_a, spans_b

    return Indicator(((nan,) * base, (nan,) * base), step, close)


def cci(windows: Windows, window: int) -> Indicator:
    """Commodity channel index: distance of the typical price from its average, in 0.015 mean deviations."""
    typicals, past = windows.tail(TYPICAL, window), windows.past(TYPICAL, window)
    tail = window - 1
    scale = 0.015 / window

    def step(memory: Memory, now: Now) -> Stepped:
        # The last n - 1 prices, in order of size, relative to a price not long ago: little is cancelled.
        origin, total, ranked = memory
        value = now[TYPICAL] - origin
        if ranked[0] == value == ranked[-1]:  # 0/0 while the market stands still
            return (nan,)
        mean = (total + value) / window
        below = bisect_left(ranked, mean)
        under = sum(ranked[:below])
        # Of the values below the mean it is the distance up to it, of the others the distance down to it.
        deviation = (mean * below - under) + (total - under - mean * (tail - below)) + abs(value - mean)
        return ((value - mean) / (scale * deviation) if deviation else nan,)

    def close(memory: Memory, _stepped: Stepped, now: Now) -> Memory:
        origin, total, ranked = memory
        typical = now[TYPICAL]
        # Where a value is missing (NaN: warm-up) or infinite there is no order to be mended.
        if now[AGE] % window == 0.0 or not -inf < total < inf:
            origin = typical
            ranked = tuple(_ranked(now[typicals], origin))
        else:
            left = now[past][-tail] - origin
            ranked = tuple(_exchanged(ranked, left, typical - origin))
        return origin, sum(ranked), ranked

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

    def step(memory: Memory, now: Now) -> Stepped:
        top, top_place, bottom, bottom_place = memory
        if now[AGE] <= window:
            return nan, nan, nan
        up = (window if now[HIGH] > top else top_place) / window * 100
        down = (window if now[LOW] < bottom else bottom_place) / window * 100
        return up, down, up - down

    def close(memory: Memory, _stepped: Stepped, now: Now) -> Memory:
        # Highest and lowest of the last `window` bars, and how many bars before them the window begins.
        top, top_place, bottom, bottom_place = memory
        high, low = now[HIGH], now[LOW]
        if top_place and not high > top:
            top_place -= 1.0
        else:
            recent = now[highs]
            top = max(recent)
            top_place = float(recent.index(top)) if not isnan(top) else 0.0
        if bottom_place and not low < bottom:
            bottom_place -= 1.0
        else:
            recent = now[lows]
            bottom = min(recent)
            bottom_place = float(recent.index(bottom)) if not isnan(bottom) else 0.0
        return top, top_place, bottom, bottom_place

    return Indicator((nan, 0.0, nan, 0.0), step, close)
