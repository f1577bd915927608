"""Indicators by their definitions alone: steps called one by one, windows taken from the whole history.

Slow and simple: what the composed function of a set is held to, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, nan
from typing import Any

from consumers.indicators.bars import Bar
from consumers.indicators.indicator_set import Column
from consumers.indicators.quantities import AGE, BEFORE_THE_FIRST_BAR, COUNT, KEPT, quantities
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

        def request(quantity: int, parameter: Any) -> int:
            self._requests.append((kind, quantity, parameter))
            return COUNT + len(self._requests) - 1

        return request

    def add(self, bar: Bar) -> list[Any]:
        """What is known at a bar."""
        last = self._history[-1] if self._history else None
        before = tuple(last[quantity] for quantity in KEPT) if last else BEFORE_THE_FIRST_BAR
        now: list[Any] = list(quantities(before, bar))
        answers = [self._answer(number, now) for number in range(len(self._requests))]
        self._history.append(tuple(now))
        return now + answers

    def _answer(self, number: int, now: Sequence[float]) -> Any:
        kind, quantity, parameter = self._requests[number]
        x = now[quantity]
        if kind == "average":
            average = self._averages.get(number, nan)
            if now[AGE] <= 2.0 and isnan(average):
                average = x
            self._averages[number] = average + parameter * (x - average)
            return self._averages[number]
        past = self._last(quantity, parameter - 1)
        if kind == "sum":
            return self._nested_sum(quantity, parameter) + x
        if kind == "highest":
            return max([x, *(value for value in past if not isnan(value))])
        if kind == "lowest":
            return min([x, *(value for value in past if not isnan(value))])
        if kind == "past":
            longest = max(length for _, q, length in self._requests if q == quantity and type(length) is int)
            return self._last(quantity, longest - 1)
        return (*past, x)[1:]

    def _nested_sum(self, quantity: int, length: int) -> float:
        # In the order in which sums of one quantity are taken: each begins with the next shorter one.
        asked = {n for kind, q, n in self._requests if kind == "sum" and q == quantity and n <= length}
        values = self._last(quantity, length - 1)
        total, taken = None, 0
        for n in sorted(asked):
            piece = sum(values[len(values) - n + 1 : len(values) - taken])
            total, taken = (piece if total is None else total + piece), n - 1
        assert total is not None
        return total

    def _last(self, quantity: int, count: int) -> tuple[float, ...]:
        values = tuple(known[quantity] for known in self._history[-count:])
        return (nan,) * (count - len(values)) + values


def plain_rows(columns: Sequence[Column], bars: Sequence[Bar]) -> list[tuple[float, ...]]:
    """The values of the columns at each bar."""
    windows = PlainWindows()
    indicators: dict[Any, Indicator] = {}
    for column in columns:
        key = column.make, column.parameters
        if key not in indicators:
            indicators[key] = column.make(windows, **dict(column.parameters))  # type: ignore[arg-type]
    memories = {key: indicator.initial for key, indicator in indicators.items()}
    rows = []
    for bar in bars:
        now, stepped = windows.add(bar), {}
        for key, indicator in indicators.items():
            memory = memories[key]
            stepped[key] = indicator.step(memory, now)
            if indicator.close:
                memories[key] = indicator.close(memory, stepped[key], now)
            else:
                memories[key] = stepped[key][len(stepped[key]) - len(memory) :]
        rows.append(tuple(stepped[column.make, column.parameters][column.index] for column in columns))
    return rows
