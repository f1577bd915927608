"""Compiles a set of indicators into two functions: values of an open bar, and the same with the next state.

All steps, and the windows that they share, are inlined one after the other (`inline.py`), statements that no
chosen column needs are removed (`optimise.py`), and the result is compiled once per set. This reduces the
full set from 45 calls to two (docs/decisions/indicator-speed.md).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from consumers.indicators.bar_inputs import AGE, BEFORE_THE_FIRST_BAR, COUNT, bar_inputs
from consumers.indicators.bars import Bar
from consumers.indicators.compiler.inline import Inliner, Numbered, name
from consumers.indicators.compiler.optimise import drop_warm_up_branches, simplify
from consumers.indicators.compiler.source import width
from consumers.indicators.ieee import sum_in_order
from consumers.indicators.step import Indicator
from consumers.indicators.windows import Window, Windows

State = tuple[tuple[float, ...], tuple[Window, ...]]
"""State of one series after its last closed bar: numbers, and windows; the set fixes their lengths."""


@dataclass(frozen=True)
class CompiledSet:
    """A set of indicators as functions.

    Attributes:
        initial: the state before the first bar.
        values: the chosen columns at a bar, given the state before it.
        step: the state after a bar, and the same columns.
    """

    initial: State
    values: Callable[[State, Bar], tuple[float, ...]]
    step: Callable[[State, Bar], tuple[State, tuple[float, ...]]]


def compile_set(
    windows: Windows, indicators: Sequence[Indicator], chosen: Sequence[tuple[int, int]]
) -> CompiledSet:
    """Compile the indicators, which have requested their `windows`.

    Args:
        chosen: per column, the index of its indicator, and its index among the indicator's columns.

    Raises:
        CannotInlineError: a step breaks the rules (`step.py`).
    """
    inlined = _inlined(windows, indicators)
    scope = dict(inlined.scope)
    for function in _functions(inlined, chosen, few_locals=True):
        exec(compile(function, "<indicators>", "exec"), scope)
    initial = tuple(
        tuple(inlined.before[variable] for variable in variables)
        for variables in (inlined.numbers, inlined.series)
    )
    return CompiledSet(initial, scope["values"], scope["step"])  # type: ignore[arg-type]


def generated_source(
    windows: Windows, indicators: Sequence[Indicator], chosen: Sequence[tuple[int, int]]
) -> str:
    """The source that `compile_set` compiles, with unique names of variables."""
    functions = _functions(_inlined(windows, indicators), chosen, few_locals=False)
    return "\n\n".join(map(ast.unparse, functions)) + "\n"


@dataclass(frozen=True)
class _Inlined:
    """An inlined set: statements of every bar, statements of closed bars, and the state's variables.

    Attributes:
        at_bar, at_close: statements.
        before: the variables of the state, with their values before the first bar.
        after: the variables that hold their next values.
        scope: the objects that the statements name.
    """

    at_bar: list[ast.stmt]
    at_close: list[ast.stmt]
    before: dict[str, Any]
    after: dict[str, str]
    scope: dict[str, Any]

    @property
    def numbers(self) -> list[str]:
        """Variables of the state that are numbers."""
        return [variable for variable, value in self.before.items() if not isinstance(value, tuple)]

    @property
    def series(self) -> list[str]:
        """Variables of the state that are windows."""
        return [variable for variable, value in self.before.items() if isinstance(value, tuple)]


def _inlined(windows: Windows, indicators: Sequence[Indicator]) -> _Inlined:
    inliner = Inliner()
    inliner.scope |= {"isnan": isnan, "sum_in_order": sum_in_order}
    before, after = dict(windows.initial()), windows.after()
    fields = ("time", "open", "high", "low", "close", "volume")
    kept = _names(f"b{index}" for index in range(len(BEFORE_THE_FIRST_BAR)))
    at_bar = _parsed(f"{field} = bar[{index}]" for index, field in enumerate(fields))
    at_bar += inliner.call(bar_inputs, (kept, _names(fields)), [f"n{number}" for number in range(COUNT)])
    at_bar += _parsed(windows.inputs())
    at_close = _parsed(windows.tails())
    for i, indicator in enumerate(indicators):
        memory = [f"m{i}_{k}" for k in range(len(indicator.initial))]
        results = [f"r{i}_{k}" for k in range(width(indicator.step))]
        at_bar += inliner.call(indicator.step, (_names(memory), Numbered()), results)
        memory_after = results[len(results) - len(memory) :]
        if indicator.close:
            memory_after = [f"a{i}_{k}" for k in range(len(memory))]
            arguments = _names(memory), _names(results), Numbered()
            at_close += inliner.call(indicator.close, arguments, memory_after)
        before.update(zip(memory, indicator.initial, strict=True))
        after.update(zip(memory, memory_after, strict=True))
    at_close += _parsed(windows.next())
    return _Inlined(at_bar, at_close, before, after, inliner.scope)


def _functions(inlined: _Inlined, chosen: Sequence[tuple[int, int]], *, few_locals: bool) -> list[ast.Module]:
    """`values` and `step`, optimised."""
    numbers, series = inlined.numbers, inlined.series
    row = _tuple(f"r{i}_{k}" for i, k in chosen)
    next_numbers, next_series = (
        _tuple(inlined.after[variable] for variable in variables) for variables in (numbers, series)
    )
    known = _parsed([f"{', '.join(numbers)}, = state[0]"])
    all_windows = _parsed([f"{', '.join(series)}, = state[1]"] if series else [])
    # An open bar needs few of the windows.
    few_windows = _parsed(f"{variable} = state[1][{index}]" for index, variable in enumerate(series))
    last = _parsed([f"result = ({next_numbers}, {next_series}), row"])
    bodies = {
        "values": [*known, *few_windows, *inlined.at_bar, *_parsed([f"result = {row}"])],
        "step": [*known, *all_windows, *inlined.at_bar, *_parsed([f"row = {row}"]), *inlined.at_close, *last],
    }
    return [_function(called, body, few_locals=few_locals) for called, body in bodies.items()]


def _function(called: str, body: list[ast.stmt], *, few_locals: bool) -> ast.Module:
    """A function with `body` in two versions: as it is, and for series beyond all warm-ups."""
    warm, bars = drop_warm_up_branches(body, (f"n{AGE}", f"b{AGE}"))
    module = ast.parse(
        f"def {called}(state, bar):\n if state[0][{AGE}] > {bars}: 0\n else: 0\n return result"
    )
    (function,) = module.body
    assert isinstance(function, ast.FunctionDef) and isinstance(function.body[0], ast.If)
    function.body[0].body, function.body[0].orelse = (
        simplify(branch, "result", few_locals=few_locals) for branch in (warm, body)
    )
    return ast.fix_missing_locations(module)


def _names(variables: Iterable[str]) -> list[ast.expr]:
    return [name(variable) for variable in variables]


def _parsed(lines: Iterable[str]) -> list[ast.stmt]:
    return ast.parse("\n".join(lines)).body


def _tuple(variables: Iterable[str]) -> str:
    """Source of a tuple, in pieces: the interpreter builds one of more than 30 elements from a list."""
    names = list(variables)
    pieces = [names[start : start + 30] for start in range(0, len(names), 30)] or [[]]
    return " + ".join(f"({''.join(f'{variable}, ' for variable in piece)})" for piece in pieces)
