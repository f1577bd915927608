"""Trend indicators, as `ta` 0.11 `trend.py` computes them: averages of the close, and oscillators from them.

All prices and differences of prices are in the quote asset; oscillators name their range.
"""

from __future__ import annotations

from itertools import accumulate
from math import nan

from consumers.indicators.bar_inputs import AGE, AMPLITUDE, CLOSE
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
from consumers.indicators.windows import Inputs, Windows


def ema_weight(span: int) -> float:
    """The weight of the newest value in an exponential average over `span` bars."""
    return 2.0 / (span + 1.0)


def macd(windows: Windows, slow: int, fast: int, signal: int) -> Indicator:
    """Moving average convergence/divergence: fast minus slow average, its signal line, the difference."""
    fast_average = windows.average(CLOSE, ema_weight(fast))
    slow_average = windows.average(CLOSE, ema_weight(slow))
    weight = ema_weight(signal)
    first = max(slow, fast)
    first_signal = first + signal - 1

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        age = inputs[AGE]
        if age < first:
            return nan, nan, nan, nan
        line = inputs[fast_average] - inputs[slow_average]
        smoothed = memory[0]
        smoothed = smoothed + weight * (line - smoothed) if age > first else line
        if age < first_signal:
            return line, nan, nan, smoothed
        return line, smoothed, line - smoothed, smoothed

    return Indicator((nan,), step)


def sma(windows: Windows, window: int) -> Indicator:
    """Simple moving average of the close."""
    total = windows.sum(CLOSE, window)

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        return (inputs[total] / window,)

    return without_memory(step)


def ema(windows: Windows, window: int) -> Indicator:
    """Exponential moving average of the close, from the first close on."""
    average = windows.average(CLOSE, ema_weight(window))

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        return (inputs[average] if inputs[AGE] >= window else nan,)

    return without_memory(step)


def wma(windows: Windows, window: int) -> Indicator:
    """Linearly weighted moving average of the close, the newest weighing most."""
    closes = windows.tail(CLOSE, window)
    unit = 2.0 / (window * (window + 1))

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        return ((memory[0] + window * inputs[CLOSE]) * unit,)

    def close(_memory: Memory, _stepped: Stepped, inputs: Inputs) -> Memory:
        # The sum of running sums, newest first, counts the newest close n - 1 times, the oldest once.
        return (sum_in_order(accumulate(inputs[closes][::-1])),)

    return Indicator((nan,), step, close)


def trix(windows: Windows, window: int) -> Indicator:
    """Change of a triple exponential average, in percent."""
    average = windows.average(CLOSE, ema_weight(window))
    weight = ema_weight(window)
    second_from, third_from, first = window, 2 * window - 1, 3 * window - 2

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        age = inputs[AGE]
        if age < second_from:
            return nan, nan, nan
        twice, thrice = memory
        once = inputs[average]
        twice = twice + weight * (once - twice) if age > second_from else once
        if age < third_from:
            return nan, twice, nan
        before = thrice
        thrice = thrice + weight * (twice - thrice) if age > third_from else twice
        if age <= first:
            return nan, twice, thrice
        change = thrice - before
        return (change / before if before else over_zero(change)) * 100, twice, thrice

    return Indicator((nan, nan), step)


def mass_index(windows: Windows, fast: int, slow: int) -> Indicator:
    """Mass index: sum over `slow` bars of the average amplitude relative to its own average."""
    average = windows.average(AMPLITUDE, ema_weight(fast))
    weight = ema_weight(fast)
    twice_first = 2 * fast - 1

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        age = inputs[AGE]
        if age < fast:
            return nan, nan, nan
        once, twice = inputs[average], memory[0]
        twice = twice + weight * (once - twice) if age > fast else once
        # 0/0 while the price has never moved.
        ratio = once / twice if age >= twice_first and twice else nan
        return memory[1] + ratio, twice, ratio

    def close(memory: Memory, stepped: Stepped, _inputs: Inputs) -> Memory:
        _, twice, ratio = stepped
        ratios = shifted(memory[2], ratio)
        return twice, sum_in_order(ratios), ratios

    return Indicator((nan, nan, (nan,) * (slow - 1)), step, close)


def dpo(windows: Windows, window: int) -> Indicator:
    """Detrended price: the close half a window ago less the simple average."""
    lag = int(0.5 * window + 1)
    closes, total = windows.past(CLOSE, max(window, lag + 1)), windows.sum(CLOSE, window)

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        return (inputs[closes][-lag] - inputs[total] / window,)

    return without_memory(step)


def kst(windows: Windows, signal: int) -> Indicator:
    """Know sure thing: weighted sum of four smoothed rates of change in percent, its average, the difference.

    `ta` looks ahead in the first rows (TA.md "Look-ahead"); here they are NaN.
    """
    # Lags of the four rates of change, and the factors of their sums over 10, 10, 10 and 15 bars: weights 1
    # to 4 times 100 percent, per bar. These are ta's defaults.
    lags, bars = (10, 15, 20, 30), (10, 10, 10, 15)
    scale10, scale15, scale20, scale30 = 10.0, 20.0, 30.0, 400.0 / 15.0
    lag10, lag15, lag20, lag30 = (-lag for lag in lags)
    closes = windows.past(CLOSE, max(lags) + 1)

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        sum10, sum15, sum20, sum30, line_sum, _, _, _, _, _ = memory
        close, past = inputs[CLOSE], inputs[closes]
        then10, then15, then20, then30 = past[lag10], past[lag15], past[lag20], past[lag30]
        rate10 = (close - then10) / then10 if then10 else nan
        rate15 = (close - then15) / then15 if then15 else nan
        rate20 = (close - then20) / then20 if then20 else nan
        rate30 = (close - then30) / then30 if then30 else nan
        line = (
            (sum10 + rate10) * scale10
            + (sum15 + rate15) * scale15
            + (sum20 + rate20) * scale20
            + (sum30 + rate30) * scale30
        )
        smoothed = (line_sum + line) / signal
        return line, smoothed, line - smoothed, rate10, rate15, rate20, rate30

    def close(memory: Memory, stepped: Stepped, _inputs: Inputs) -> Memory:
        line, _, _, rate10, rate15, rate20, rate30 = stepped
        _, _, _, _, _, rates10, rates15, rates20, rates30, lines = memory
        rates10 = shifted(rates10, rate10)
        rates15 = shifted(rates15, rate15)
        rates20 = shifted(rates20, rate20)
        rates30 = shifted(rates30, rate30)
        lines = shifted(lines, line)
        return (
            sum_in_order(rates10),
            sum_in_order(rates15),
            sum_in_order(rates20),
            sum_in_order(rates30),
            sum_in_order(lines),
            rates10,
            rates15,
            rates20,
            rates30,
            lines,
        )

    windows_of_rates = ((nan,) * (count - 1) for count in bars)
    return Indicator((*(nan,) * 5, *windows_of_rates, (nan,) * (signal - 1)), step, close)


def stc(windows: Windows, *, slow: int, fast: int, cycle: int, smooth1: int, smooth2: int) -> Indicator:
    """Schaff trend cycle, 0–100: a stochastic of a smoothed stochastic of the MACD line."""
    fast_average = windows.average(CLOSE, ema_weight(fast))
    slow_average = windows.average(CLOSE, ema_weight(slow))
    first = max(slow, fast)

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        if inputs[AGE] < first:
            return nan, nan, nan, nan, 1.0, 0.0, nan, 1.0, 0.0
        low, high, inner_low, inner_high, k, k_weight, k_seen, kd, kd_weight, kd_seen, _, _ = memory
        line = inputs[fast_average] - inputs[slow_average]
        position = _position(line, low, high)
        k, k_weight, k_seen = ewm_step(k, k_weight, k_seen, position, smooth1)
        shown = k if k_seen >= smooth1 else nan
        position = _position(shown, inner_low, inner_high)
        kd, kd_weight, kd_seen = ewm_step(kd, kd_weight, kd_seen, position, smooth2)
        return (kd if kd_seen >= smooth2 else nan, line, shown, k, k_weight, k_seen, kd, kd_weight, kd_seen)

    def close(memory: Memory, stepped: Stepped, _inputs: Inputs) -> Memory:
        _, line, shown, k, k_weight, k_seen, kd, kd_weight, kd_seen = stepped
        low, high, inner_low, inner_high, _, _, _, _, _, _, lines, showns = memory
        left, inner_left = lines[0], showns[0]
        lines = shifted(lines, line)
        showns = shifted(showns, shown)
        low = lowest_of(lines, low, left)
        high = highest_of(lines, high, left)
        inner_low = lowest_of(showns, inner_low, inner_left)
        inner_high = highest_of(showns, inner_high, inner_left)
        return (low, high, inner_low, inner_high, k, k_weight, k_seen, kd, kd_weight, kd_seen, lines, showns)

    empty = (nan,) * (cycle - 1)
    return Indicator((nan, nan, nan, nan, nan, 1.0, 0.0, nan, 1.0, 0.0, empty, empty), step, close)


def _position(value: float, lowest: float, highest: float) -> float:
    """Where `value` lies in the range of itself and the values before it, in percent."""
    highest = value if value > highest else highest
    lowest = value if value < lowest else lowest
    return 100.0 * (value - lowest) / (highest - lowest) if highest != lowest else nan
