"""The shape of an indicator: a step function over the shared windows, with a small memory of its own.

An indicator is a function `f(windows, **parameters) -> (initial memory, step)`. Its memory is a tuple of floats (and
of tuples of floats, for windows of its own) that *begins with the values of its columns*: `step(memory, now)` returns
the next memory, whose head are the values at `now`. So one function serves closed bars, which keep the new memory,
and the open bar, which throws it away; and shapes never change, which makes state easy to store.
"""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from typing import Any

from consumers.indicators.windows import Now

Memory = tuple[Any, ...]
Step = Callable[[Memory, Now], Memory]
Indicator = tuple[Memory, Step]


def undefined(count: int) -> Memory:
    """Memory of an indicator of `count` columns that remembers nothing: their values."""
    return (nan,) * count


class Fading:
    """Exponential average of a series with holes, as pandas' `ewm(adjust=False, ignore_na=False)`.

    Over a hole the average stays, and the weight of the past fades; the first `span` values are hidden.
    Its memory is (average, weight of the past, values seen), the last counted no further than `span`.
    """

    INITIAL: Memory = (nan, 1.0, 0.0)

    def __init__(self, span: int) -> None:
        self._span = float(span)
        self._new = 2.0 / (span + 1.0)
        self._fade = 1.0 - self._new

    def step(self, memory: Memory, value: float) -> Memory:
        average, weight, seen = memory
        if average != average:
            return (value, 1.0, 1.0) if value == value else memory
        weight *= self._fade
        if value != value:
            return average, weight, seen
        if average != value:
            # pandas has no separate case for a span of 3 … but this one, where the weights add to one again.
            new = 1.0 - weight if self._new == 0.5 else self._new
            average = (weight * average + new * value) / (weight + new)
        return average, 1.0, min(seen + 1.0, self._span)

    def shown(self, memory: Memory) -> float:
        """The average, or NaN while it is hidden."""
        average: float = memory[0]
        return average if memory[2] >= self._span else nan
