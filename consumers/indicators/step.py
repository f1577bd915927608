"""The shape of an indicator: a step over the shared windows, with a small memory of its own.

An indicator is a function `f(windows, **parameters) -> Indicator`. Its memory is a tuple of floats, and of
tuples of floats where it has windows of its own, of a shape that never changes, which makes state easy to
store.

`step(memory, now)` gives a tuple that begins with the values of the columns, always of the same length, and
serves closed bars and the open bar alike. For most indicators that tuple is the next memory. Where a memory
is dear to make (windows of the indicator's own), `close(memory, stepped, now)` makes it, and only when a bar
closes.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isnan, nan
from typing import Any, NamedTuple

from consumers.indicators.windows import Now

Memory = tuple[Any, ...]
Stepped = tuple[Any, ...]


class Indicator(NamedTuple):
    """How an indicator goes on from bar to bar (see above)."""

    initial: Memory
    step: Callable[[Memory, Now], Stepped]
    close: Callable[[Memory, Stepped, Now], Memory] | None = None


def without_memory(columns: int, formula: Callable[[Memory, Now], Stepped]) -> Indicator:
    """An indicator whose values follow from `now` alone."""
    return Indicator((nan,) * columns, formula)


def moved(window: tuple[float, ...], value: float) -> tuple[float, ...]:
    """The window without its oldest value and with `value` as its newest."""
    return window[1:] + (value,)  # noqa: RUF005  twice as fast as unpacking


class Fading:
    """Exponential average of a series with holes, as pandas' `ewm(adjust=False, ignore_na=False)`.

    Over a hole the average stays, and the weight of the past fades; the first `span` values are hidden.
    Its memory is (average, weight of the past, values seen), the last counted no further than `span`.
    """

    INITIAL: Memory = (nan, 1.0, 0.0)

    def __init__(self, span: int) -> None:
        self._span = float(span)
        self._new = 2.0 / (span + 1.0)
        self._past = 1.0 - self._new

    def step(self, memory: Memory, value: float) -> Memory:
        """The memory after `value`, which may be NaN."""
        average, weight, seen = memory
        if isnan(average):
            return memory if isnan(value) else (value, 1.0, 1.0)
        weight *= self._past
        if isnan(value):
            return average, weight, seen
        if average != value:
            # At a span of 3 pandas lets the new weight take what the past has lost.
            new = 1.0 - weight if self._new == 0.5 else self._new
            average = (weight * average + new * value) / (weight + new)
        return average, 1.0, seen + 1.0 if seen < self._span else seen

    def shown(self, memory: Memory) -> float:
        """The average, or NaN while it is hidden."""
        average: float = memory[0]
        return average if memory[2] >= self._span else nan
