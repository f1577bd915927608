"""The interface of an indicator: a step over the shared windows, with a small memory of its own.

An indicator is a function `f(windows, **parameters) -> Indicator`. Its memory is a tuple of floats, and of
tuples of floats for windows of its own. The shape never changes, so that state is easy to store.

`step(memory, inputs)` returns a tuple of fixed length that begins with the values of the columns, for closed
and open bars alike. Its last elements, as many as the memory has, are the next memory. If the memory is
expensive to make (windows of its own), `close(memory, stepped, inputs)` makes it, only when a bar closes.

Both are plain functions and can be called; a set of indicators is faster because it inlines all of them into
two functions (`compiler/`). The rules for that:

- only assignments, `if`/`elif`/`else` and `return` of a tuple; loops, comprehensions and lambdas go into
  functions of their own;
- an `if` that returns does so on all paths of its first branch (the statements after it are its `else`);
- `memory`, `stepped` and `inputs` are only unpacked, or indexed by a constant;
- a call of one of our functions that is the whole right side of an assignment is inlined too, so that the
  function follows these rules; every other call stays a call, and so does that of a function with a loop.
- sums are `ieee.sum_in_order`, never `sum`, whose value depends on Python's version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from consumers.indicators.windows import Inputs

Memory = tuple[Any, ...]
Stepped = tuple[Any, ...]


class Indicator(NamedTuple):
    """An indicator's initial memory, its step and, if needed, its `close` (see above)."""

    initial: Memory
    step: Callable[[Memory, Inputs], Stepped]
    close: Callable[[Memory, Stepped, Inputs], Memory] | None = None


def without_memory(formula: Callable[[Memory, Inputs], Stepped]) -> Indicator:
    """An indicator whose values follow from `inputs` alone."""
    return Indicator((), formula)


def shifted(window: tuple[float, ...], value: float) -> tuple[float, ...]:
    """The window without its oldest value, with `value` as its newest."""
    return window[1:] + (value,)  # noqa: RUF005  twice as fast as unpacking


def lowest_of(window: tuple[float, ...], before: float, left: float) -> float:
    """Lowest of a window, given the lowest `before` its newest value arrived and `left` dropped out.

    Only the oldest values may be missing (NaN); the result is NaN then.
    """
    return before if before < window[-1] and before < left else min(window)


def highest_of(window: tuple[float, ...], before: float, left: float) -> float:
    """Highest of a window; as `lowest_of`."""
    return before if before > window[-1] and before > left else max(window)


def ewm_step(
    average: float, weight: float, seen: float, value: float, span: int
) -> tuple[float, float, float]:
    """Exponential average of a series with missing values, as pandas' `ewm(adjust=False, ignore_na=False)`.

    At a missing value (NaN) the average stays, and the weight of the past decays.

    Args:
        average, weight, seen: the average, the weight of the past, and the number of values, up to `span`;
            initially NaN, 1.0 and 0.0.
        value: the next value, which may be NaN.

    Returns:
        The next average, weight and count.
    """
    missing = value != value  # noqa: PLR0124  NaN; several times faster than a call
    if not seen:
        if missing:
            return average, weight, seen
        return value, 1.0, 1.0
    weight *= 1.0 - 2.0 / (span + 1.0)
    if missing:
        return average, weight, seen
    if average != value:
        # At a span of 3 pandas gives the new value all weight that the past has lost.
        new = 1.0 - weight if span == 3 else 2.0 / (span + 1.0)
        average = (weight * average + new * value) / (weight + new)
    return average, 1.0, seen + 1.0 if seen < span else seen
