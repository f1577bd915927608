"""Steps are inlined faithfully, or refused with the place and the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from consumers.indicators.bar_inputs import AGE, CLOSE, HIGH, LOW
from consumers.indicators.bars import Bar
from consumers.indicators.compiler.build import compile_set
from consumers.indicators.compiler.source import CannotInlineError
from consumers.indicators.ieee import added_in_order
from consumers.indicators.step import Indicator, Memory, Stepped
from consumers.indicators.windows import Inputs, Windows


def first_column(make: Callable[[Windows], Indicator], closes: list[float]) -> list[float]:
    windows = Windows()
    compiled = compile_set(windows, [make(windows)], [(0, 0)])
    state, values = compiled.initial, []
    for close in closes:
        state, (value,) = compiled.step(state, Bar(0, close, close + 1.0, close - 1.0, close, 1.0))
        values.append(value)
    return values


def test_early_returns_tuples_and_variables_that_change_come_out_right() -> None:
    def swaps(_windows: Windows) -> Indicator:
        def step(memory: Memory, inputs: Inputs) -> Stepped:
            a, b = memory
            if inputs[AGE] < 2.0:
                return 0.0, a, b
            if inputs[CLOSE] > 10.0:
                if inputs[CLOSE] > 20.0:
                    return 20.0, a, b
                return 10.0, a, b
            a, b = b, a
            a += inputs[CLOSE]
            b, high = a if a > b else b, inputs[HIGH]
            return a * 100.0 + b * 10.0 + high - inputs[LOW], a, b

        return Indicator((1.0, 2.0), step)

    assert first_column(swaps, [5.0, 3.0, 25.0, 15.0, 1.0]) == [
        0.0,
        5.0 * 100.0 + 5.0 * 10.0 + 2.0,
        20.0,
        10.0,
        6.0 * 100.0 + 6.0 * 10.0 + 2.0,
    ]


def test_a_function_with_a_loop_stays_a_call() -> None:
    def adds(_windows: Windows) -> Indicator:
        def step(_memory: Memory, inputs: Inputs) -> Stepped:
            total = added_in_order((inputs[CLOSE], inputs[HIGH]))
            return (total,)

        return Indicator((), step)

    assert first_column(adds, [5.0, 3.0]) == [11.0, 7.0]


def test_parameters_of_one_name_in_two_indicators_stay_apart() -> None:
    def scaled(factor: Any) -> Callable[[Windows], Indicator]:
        def make(_windows: Windows) -> Indicator:
            def step(_memory: Memory, inputs: Inputs) -> Stepped:
                return (factor(inputs[CLOSE]),)

            return Indicator((), step)

        return make

    windows = Windows()
    makers = [scaled(lambda close: close * 2.0), scaled(lambda close: close * 3.0)]
    compiled = compile_set(windows, [make(windows) for make in makers], [(0, 0), (1, 0)])
    assert compiled.values(compiled.initial, Bar(0, 1.0, 1.0, 1.0, 1.0, 1.0)) == (2.0, 3.0)


def loops(memory: Memory, inputs: Inputs) -> Stepped:
    for _ in range(3):
        pass
    return (inputs[CLOSE],)


def comprehends(memory: Memory, inputs: Inputs) -> Stepped:
    return (sum([x * 2.0 for x in memory[0]]),)


def returns_on_some_ways(memory: Memory, inputs: Inputs) -> Stepped:
    if inputs[AGE] > 1.0:  # noqa: SIM102
        if inputs[AGE] > 2.0:
            return (1.0,)
    return (inputs[CLOSE],)


def returns_from_an_else_only(memory: Memory, inputs: Inputs) -> Stepped:
    if inputs[AGE] > 1.0:
        close = inputs[CLOSE]
    else:
        return (1.0,)
    return (close,)


def takes_memory_whole(memory: Memory, inputs: Inputs) -> Stepped:
    return (len(memory),)


def indexes_by_a_variable(memory: Memory, inputs: Inputs) -> Stepped:
    age = inputs[AGE]
    return (inputs[age],)


def returns_tuples_of_several_lengths(memory: Memory, inputs: Inputs) -> Stepped:
    if inputs[AGE] > 1.0:
        return 1.0, 2.0
    return (inputs[CLOSE],)


@pytest.mark.parametrize(
    ("step", "what"),
    [
        (loops, "for"),
        (comprehends, "x cannot|comprehension"),
        (returns_on_some_ways, "an `if` that returns on some paths only"),
        (returns_from_an_else_only, "an `if` that returns on some paths only"),
        (takes_memory_whole, "memory used as a whole"),
        (indexes_by_a_variable, "an index that is not constant"),
        (returns_tuples_of_several_lengths, "must return tuples of one length"),
    ],
)
def test_what_cannot_be_inlined_is_refused_with_its_place(step: Any, what: str) -> None:
    with pytest.raises(CannotInlineError, match=what) as refused:
        first_column(lambda _windows: Indicator(((0.0,),), step), [1.0])
    assert step.__qualname__ in str(refused.value)
