"""The shape of an indicator: a step over the shared windows, with a small memory of its own.

An indicator is a function `f(windows, **parameters) -> Indicator`. Its memory is a flat tuple of floats, and
of tuples of floats where it has windows of its own, of a shape that never changes, which makes state easy to
store.

`step(memory, now)` gives a tuple that begins with the values of the columns, always of the same length, and
serves closed bars and the open bar alike. Its last elements, as many as the memory has, are the next memory.
Where a memory is dear to make (windows of the indicator's own), `close(memory, stepped, now)` makes it, and
only when a bar closes.

Both are plain functions, and may be called; a set of indicators is faster because it writes them all out into
one function (`inline.py`). For that they keep to:

- assignments, `if`/`elif`/`else` and `return` of a tuple; no loops, comprehensions or lambdas: those go into
  functions of their own;
- an `if` that returns does so on all ways through its first branch (and then what follows is its `else`);
- `memory`, `stepped` and `now` are only unpacked, or indexed by a constant;
- a call of one of our functions that stands alone on the right of an assignment is written out as well, so
  that function keeps to these rules; every other call stays a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from consumers.indicators.windows import Now

Memory = tuple[Any, ...]
Stepped = tuple[Any, ...]


class Indicator(NamedTuple):
    """How an indicator goes on from bar to bar (see above)."""

    initial: Memory
    step: Callable[[Memory, Now], Stepped]
    close: Callable[[Memory, Stepped, Now], Memory] | None = None


def without_memory(formula: Callable[[Memory, Now], Stepped]) -> Indicator:
    """An indicator whose values follow from `now` alone."""
    return Indicator((), formula)


def moved(window: tuple[float, ...], value: float) -> tuple[float, ...]:
    """The window without its oldest value and with `value` as its newest."""
    return window[1:] + (value,)  # noqa: RUF005  twice as fast as unpacking


def lowest_of(window: tuple[float, ...], before: float, left: float) -> float:
    """Lowest of a window, given the lowest before its newest value came and `left` left it.

    Only the oldest values may be missing (NaN); then it is NaN.
    """
    return before if before < window[-1] and before < left else min(window)


def highest_of(window: tuple[float, ...], before: float, left: float) -> float:
    """Highest of a window, given the highest before its newest value came and `left` left it.

    Only the oldest values may be missing (NaN); then it is NaN.
    """
    return before if before > window[-1] and before > left else max(window)


def faded(average: float, weight: float, seen: float, value: float, span: int) -> tuple[float, float, float]:
    """Exponential average of a series with holes, as pandas' `ewm(adjust=False, ignore_na=False)`.

    Over a hole (NaN) the average stays, and the weight of the past fades.

    Args:
        average, weight, seen: the average, the weight of the past, and the values seen, counted no further
            than `span`; NaN, 1.0 and 0.0 to begin with.
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
        # At a span of 3 pandas lets the new weight take what the past has lost.
        new = 1.0 - weight if span == 3 else 2.0 / (span + 1.0)
        average = (weight * average + new * value) / (weight + new)
    return average, 1.0, seen + 1.0 if seen < span else seen
