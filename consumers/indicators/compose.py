"""Makes one function of a set of indicators: values of an open bar, and the same with the next state.

All steps, and the windows that they share, are written out one after the other (`inline.py`), what no chosen
column needs is left out, and the result is compiled once per set. Nothing is looked up or handed over while
it runs: that is what brings the full set from 45 calls to two (docs/decisions/indicator-speed.md).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from consumers.indicators.bars import Bar
from consumers.indicators.definition import width
from consumers.indicators.inline import Numbered, Writer, name
from consumers.indicators.quantities import AGE, BEFORE_THE_FIRST_BAR, COUNT, quantities
from consumers.indicators.step import Indicator
from consumers.indicators.tidy import renamed, settled, slots, without_copies, without_unused
from consumers.indicators.windows import Window, Windows

State = tuple[tuple[float, ...], tuple[Window, ...]]
"""Of one series after its last closed bar: numbers, and windows; of lengths that the set fixes."""


@dataclass(frozen=True)
class Composed:
    """A set of indicators as functions.

    Attributes:
        initial: the state before the first bar.
        values: the chosen columns at a bar, given the state before it.
        step: the state after a bar, and the same columns.
    """

    initial: State
    values: Callable[[State, Bar], tuple[float, ...]]
    step: Callable[[State, Bar], tuple[State, tuple[float, ...]]]


def compose(windows: Windows, indicators: Sequence[Indicator], chosen: Sequence[tuple[int, int]]) -> Composed:
    """Compose the indicators, which have made their requests of `windows`.

    Args:
        chosen: for each column the place of its indicator, and its place among the indicator's columns.

    Raises:
        CannotInlineError: a step does not keep to the rules (`step.py`).
    """
    written = _written_out(windows, indicators)
    numbers = [variable for variable, value in written.before.items() if not isinstance(value, tuple)]
    series = [variable for variable, value in written.before.items() if isinstance(value, tuple)]
    row = _tuple(f"r{i}_{k}" for i, k in chosen)
    next_numbers, next_series = (
        _tuple(written.after[variable] for variable in variables) for variables in (numbers, series)
    )
    known = _parsed([f"{', '.join(numbers)}, = state[0]"])
    all_windows = _parsed([f"{', '.join(series)}, = state[1]"] if series else [])
    # An open bar needs few of the windows.
    few_windows = _parsed(f"{variable} = state[1][{place}]" for place, variable in enumerate(series))
    last = _parsed([f"result = ({next_numbers}, {next_series}), row"])
    functions = {
        "values": [*known, *few_windows, *written.now, *_parsed([f"result = {row}"])],
        "step": [*known, *all_windows, *written.now, *_parsed([f"row = {row}"]), *written.closing, *last],
    }
    scope = dict(written.scope)
    for called, body in functions.items():
        exec(compile(_module(called, body), "<indicators>", "exec"), scope)
    initial = tuple(
        tuple(written.before[variable] for variable in variables) for variables in (numbers, series)
    )
    return Composed(initial, scope["values"], scope["step"])  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Written:
    """A set written out: what a bar gives, what follows once it has closed, and the state's variables.

    Attributes:
        now, closing: statements.
        before: the variables of the state, with their values before the first bar.
        after: the variables that hold their next values.
        scope: the objects that the statements name.
    """

    now: list[ast.stmt]
    closing: list[ast.stmt]
    before: dict[str, Any]
    after: dict[str, str]
    scope: dict[str, Any]


def _written_out(windows: Windows, indicators: Sequence[Indicator]) -> _Written:
    writer = Writer()
    writer.scope["isnan"] = isnan
    before, after = dict(windows.initial()), windows.after()
    fields = ("time", "open", "high", "low", "close", "volume")
    kept = _names(f"b{place}" for place in range(len(BEFORE_THE_FIRST_BAR)))
    now = _parsed(f"{field} = bar[{place}]" for place, field in enumerate(fields))
    now += writer.call(quantities, (kept, _names(fields)), [f"n{quantity}" for quantity in range(COUNT)])
    now += _parsed(windows.now())
    closing = _parsed(windows.tails())
    for i, indicator in enumerate(indicators):
        memory = [f"m{i}_{k}" for k in range(len(indicator.initial))]
        results = [f"r{i}_{k}" for k in range(width(indicator.step))]
        now += writer.call(indicator.step, (_names(memory), Numbered()), results)
        memory_after = results[len(results) - len(memory) :]
        if indicator.close:
            memory_after = [f"a{i}_{k}" for k in range(len(memory))]
            arguments = _names(memory), _names(results), Numbered()
            closing += writer.call(indicator.close, arguments, memory_after)
        before.update(zip(memory, indicator.initial, strict=True))
        after.update(zip(memory, memory_after, strict=True))
    closing += _parsed(windows.next())
    return _Written(now, closing, before, after, writer.scope)


def _names(variables: Iterable[str]) -> list[ast.expr]:
    return [name(variable) for variable in variables]


def _parsed(lines: Iterable[str]) -> list[ast.stmt]:
    return ast.parse("\n".join(lines)).body


def _tuple(variables: Iterable[str]) -> str:
    """Source of a tuple, in pieces: the interpreter makes one of more than 30 by way of a list."""
    names = list(variables)
    pieces = [names[start : start + 30] for start in range(0, len(names), 30)] or [[]]
    return " + ".join(f"({''.join(f'{variable}, ' for variable in piece)})" for piece in pieces)


def _module(called: str, body: list[ast.stmt]) -> ast.Module:
    """A function of `body`, twice: as it is, and for series so long that nothing is warming up any more."""
    warm, bars = settled(body, (f"n{AGE}", f"b{AGE}"))
    module = ast.parse(
        f"def {called}(state, bar):\n if state[0][{AGE}] > {bars}: 0\n else: 0\n return result"
    )
    (function,) = module.body
    assert isinstance(function, ast.FunctionDef) and isinstance(function.body[0], ast.If)
    function.body[0].body, function.body[0].orelse = _lean(warm), _lean(body)
    return ast.fix_missing_locations(module)


def _lean(body: list[ast.stmt]) -> list[ast.stmt]:
    body = without_unused(body, {"result"})
    body = without_unused(renamed(body, without_copies(body)), {"result"})
    return renamed(body, {**slots(body), "result": "result"})
