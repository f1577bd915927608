"""Indicators by their definitions alone: steps called one by one, windows taken from the whole history.

Slow and simple: what the compiled function of a set is held to, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import isnan, nan
from operator import add
from typing import Any

from consumers.indicators.bar_inputs import AGE, BEFORE_THE_FIRST_BAR, COUNT, KEPT, bar_inputs
from consumers.indicators.bars import Bar
from consumers.indicators.indicator_set import Column
from consumers.indicators.step import Indicator


class PlainWindows:
    """Answers the requests of `consumers.indicators.windows.Windows` from all bars there have been."""

    def __init__(self) -> None:
        self._requests: list[tuple[str, int, Any]] = []
        self._averages: dict[int, float] = {}
        self._history: list[tuple[float, ...]] = []

    def __getattr__(self, kind: str) -> Any:
        if kind not in ("sum", "highest", "lowest", "past", "tail", "average"):
            raise AttributeError(kind)

        def request(bar_input: int, parameter: Any) -> int:
            self._requests.append((kind, bar_input, parameter))
            return COUNT + len(self._requests) - 1

        return request

    def add(self, bar: Bar) -> list[Any]:
        """What is known at a bar."""
        last = self._history[-1] if self._history else None
        before = tuple(last[bar_input] for bar_input in KEPT) if last else BEFORE_THE_FIRST_BAR
        inputs: list[Any] = list(bar_inputs(before, bar))
        answers = [self._answer(number, inputs) for number in range(len(self._requests))]
        self._history.append(tuple(inputs))
        return inputs + answers

    def _answer(self, number: int, inputs: Sequence[float]) -> Any:
        kind, bar_input, parameter = self._requests[number]
        x = inputs[bar_input]
        if kind == "average":
            average = self._averages.get(number, nan)
            if inputs[AGE] <= 2.0 and isnan(average):
                average = x
            self._averages[number] = average + parameter * (x - average)
            return self._averages[number]
        past = self._last(bar_input, parameter - 1)
        if kind == "sum":
            return self._nested_sum(bar_input, parameter) + x
        if kind == "highest":
            return max([x, *(value for value in past if not isnan(value))])
        if kind == "lowest":
            return min([x, *(value for value in past if not isnan(value))])
        if kind == "past":
            longest = max(length for _, q, length in self._requests if q == bar_input and type(length) is int)
            return self._last(bar_input, longest - 1)
        return (*past, x)[1:]

    def _nested_sum(self, bar_input: int, length: int) -> float:
        # In the order in which sums of one bar input are taken: each begins with the next shorter one.
        asked = {n for kind, q, n in self._requests if kind == "sum" and q == bar_input and n <= length}
        values = self._last(bar_input, length - 1)
        total, taken = None, 0
        for n in sorted(asked):
            piece = reduce(add, values[len(values) - n + 1 : len(values) - taken], 0.0)
            total, taken = (piece if total is None else total + piece), n - 1
        assert total is not None
        return total

    def _last(self, bar_input: int, count: int) -> tuple[float, ...]:
        values = tuple(known[bar_input] for known in self._history[-count:])
        return (nan,) * (count - len(values)) + values


def plain_rows(columns: Sequence[Column], bars: Sequence[Bar]) -> list[tuple[float, ...]]:
    """The values of the columns at each bar."""
    windows = PlainWindows()
    indicators: dict[Any, Indicator] = {}
    for column in columns:
        key = column.make, column.parameters
        if key not in indicators:
            indicators[key] = column.make(windows, **dict(column.parameters))
    memories = {key: indicator.initial for key, indicator in indicators.items()}
    rows = []
    for bar in bars:
        inputs, stepped = windows.add(bar), {}
        for key, indicator in indicators.items():
            memory = memories[key]
            stepped[key] = indicator.step(memory, inputs)
            if indicator.close:
                memories[key] = indicator.close(memory, stepped[key], inputs)
            else:
                memories[key] = stepped[key][len(stepped[key]) - len(memory) :]
        rows.append(tuple(stepped[column.make, column.parameters][column.index] for column in columns))
    return rows
