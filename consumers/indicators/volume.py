"""Volume indicators, as `ta` 0.11 `volume.py` computes them. Volume is in the base asset."""

from __future__ import annotations

from math import nan

from consumers.indicators.bar_inputs import (
    AGE,
    CLOSE,
    EASE_OF_MOVEMENT,
    EASE_OF_MOVEMENT_FINITE,
    FORCE,
    MONEY_FLOW_VOLUME,
    MONEY_IN,
    MONEY_OUT,
    PREVIOUS_CLOSE,
    PREVIOUS_VOLUME,
    TYPICAL_VOLUME,
    VOLUME,
)
from consumers.indicators.ieee import over_zero
from consumers.indicators.step import Indicator, Memory, Stepped, without_memory
from consumers.indicators.trend import ema_weight
from consumers.indicators.windows import Inputs, Windows


def adi(_windows: Windows) -> Indicator:
    """Accumulation/distribution: sum, from the first bar on, of the volume times where the bar closed."""

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        return (memory[0] + inputs[MONEY_FLOW_VOLUME],)

    return Indicator((0.0,), step)


def obv(_windows: Windows) -> Indicator:
    """On-balance volume: running sum, from the first bar on, of the volume, negative where the close fell."""

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        volume = inputs[VOLUME]
        return (memory[0] - volume if inputs[CLOSE] < inputs[PREVIOUS_CLOSE] else memory[0] + volume,)

    return Indicator((0.0,), step)


def cmf(windows: Windows, window: int) -> Indicator:
    """Chaikin money flow, -1–1: volume times where the bar closed, per volume."""
    flow, volume = windows.sum(MONEY_FLOW_VOLUME, window), windows.sum(VOLUME, window)

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        total = inputs[volume]
        return (inputs[flow] / total if total else nan,)

    return without_memory(step)


def force_index(windows: Windows, window: int) -> Indicator:
    """Force index: exponential average of the change of the close times the volume."""
    average = windows.average(FORCE, ema_weight(window))

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        return (inputs[average] if inputs[AGE] > window else nan,)

    return without_memory(step)


def ease_of_movement(windows: Windows, window: int) -> Indicator:
    """Ease of movement (±inf or NaN without volume) and its simple average."""
    total = windows.sum(EASE_OF_MOVEMENT_FINITE, window)

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        return inputs[EASE_OF_MOVEMENT], inputs[total] / window

    return without_memory(step)


def vpt(_windows: Windows) -> Indicator:
    """Volume-price trend: sum, from the second bar on, of the close's relative change times the volume."""

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        before = inputs[PREVIOUS_CLOSE]
        if inputs[AGE] < 2.0:
            return nan, 0.0
        close = inputs[CLOSE]
        change = (close / before if before else over_zero(close)) - 1.0
        total = memory[0] + change * inputs[VOLUME]
        return total, total

    return Indicator((0.0,), step)


def vwap(windows: Windows, window: int) -> Indicator:
    """Volume-weighted average of the typical price over the window; NaN where nothing was traded."""
    paid, volume = windows.sum(TYPICAL_VOLUME, window), windows.sum(VOLUME, window)

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        total = inputs[volume]
        return (inputs[paid] / total if total else over_zero(inputs[paid]),)

    return without_memory(step)


def mfi(windows: Windows, window: int) -> Indicator:
    """Money flow index, 0–100: money traded at rising typical prices against that at falling ones."""
    rising, falling = windows.sum(MONEY_IN, window), windows.sum(MONEY_OUT, window)

    def step(_memory: Memory, inputs: Inputs) -> Stepped:
        inflow, outflow = inputs[rising], inputs[falling]
        ratio = inflow / outflow if outflow else over_zero(inflow)
        return (100.0 - 100.0 / (1.0 + ratio),)

    return without_memory(step)


def nvi(_windows: Windows) -> Indicator:
    """Negative volume index: from 1000 on, the close's relative changes on bars of falling volume."""

    def step(memory: Memory, inputs: Inputs) -> Stepped:
        if not inputs[PREVIOUS_VOLUME] > inputs[VOLUME]:
            return (memory[0],)
        close, before = inputs[CLOSE], inputs[PREVIOUS_CLOSE]
        change = (close / before if before else over_zero(close)) - 1.0
        return (memory[0] * (1.0 + change),)

    return Indicator((1000.0,), step)
