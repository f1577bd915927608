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
from consumers.indicators.inline import Numbered, Writer, name, width
from consumers.indicators.quantities import BEFORE_THE_FIRST_BAR, COUNT, quantities
from consumers.indicators.step import Indicator
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
        source: of both functions, to be read.
    """

    initial: State
    values: Callable[[State, Bar], tuple[float, ...]]
    step: Callable[[State, Bar], tuple[State, tuple[float, ...]]]
    source: str


def compose(windows: Windows, indicators: Sequence[Indicator], chosen: Sequence[tuple[int, int]]) -> Composed:
    """Compose the indicators, which have made their requests of `windows`.

    Args:
        chosen: for each column the place of its indicator, and its place among the indicator's columns.

    Raises:
        CannotInlineError: a step does not keep to the rules (`step.py`).
    """
    writer = Writer()
    writer.scope["isnan"] = isnan
    kept = windows.initial()
    results = [[f"r{i}_{k}" for k in range(width(indicator.step))] for i, indicator in enumerate(indicators)]
    memories = [[f"m{i}_{k}" for k in range(len(indicator.initial))] for i, indicator in enumerate(indicators)]
    for indicator, memory in zip(indicators, memories, strict=True):
        kept.update(zip(memory, indicator.initial, strict=True))

    bar = [name(variable) for variable in ("time", "open", "high", "low", "close", "volume")]
    before = [name(f"b{place}") for place in range(len(BEFORE_THE_FIRST_BAR))]
    now = writer.call(quantities, (before, bar), [f"n{quantity}" for quantity in range(COUNT)])
    now += _parsed(windows.now())
    closing = _parsed(windows.tails())
    for i, indicator in enumerate(indicators):
        memory, result = [name(m) for m in memories[i]], [name(r) for r in results[i]]
        now += writer.call(indicator.step, (memory, Numbered()), results[i])
        if indicator.close:
            after = [f"a{i}_{k}" for k in range(len(memory))]
            closing += writer.call(indicator.close, (memory, result, Numbered()), after)
        else:
            after = results[i][len(results[i]) - len(memory) :]
        closing += _parsed(f"{m} = {a}" for m, a in zip(memories[i], after, strict=True))
    closing += _parsed(windows.advance())

    numbers = [variable for variable, value in kept.items() if not isinstance(value, tuple)]
    series = [variable for variable, value in kept.items() if isinstance(value, tuple)]
    start = _parsed(
        [
            *(f"{variable} = bar[{place}]" for place, variable in enumerate(("high", "low", "close", "volume"), 2)),
            f"{_tuple(numbers)} = state[0]",
        ]
    )
    values = _tuple(results[i][k] for i, k in chosen)
    unpacked = [f"windows = state[1]", *(f"{w} = windows[{place}]" for place, w in enumerate(series))]
    open_bar = _function(
        "values", start + _parsed(unpacked) + now, f"return {values}"
    )
    closed_bar = _function(
        "step",
        start + _parsed([f"{_tuple(series)} = state[1]"] if series else []) + now + closing,
        f"return ({_tuple(numbers)}, {_tuple(series)}), {values}",
    )
    module = ast.fix_missing_locations(ast.Module([open_bar, closed_bar], []))
    source = ast.unparse(module)
    scope = dict(writer.scope)
    exec(compile(source, "<indicators>", "exec"), scope)
    initial = tuple(kept[variable] for variable in numbers), tuple(kept[variable] for variable in series)
    return Composed(initial, scope["values"], scope["step"], source)  # type: ignore[arg-type]


def _parsed(lines: Iterable[str]) -> list[ast.stmt]:
    return ast.parse("\n".join(lines)).body


def _tuple(variables: Iterable[str]) -> str:
    return f"({''.join(f'{variable}, ' for variable in variables)})"


def _function(called: str, body: list[ast.stmt], last: str) -> ast.stmt:
    (definition,) = _parsed([f"def {called}(state, bar): pass"])
    assert isinstance(definition, ast.FunctionDef)
    returned = _parsed([f"def f(): {last}"])[0].body[0]
    needed = _names(returned)
    definition.body = [*_without_unused(body, needed), returned]
    return definition


def _without_unused(body: Sequence[ast.stmt], needed: set[str]) -> list[ast.stmt]:
    """The statements without those that change nothing in `needed`, to which what they need is added."""
    kept: list[ast.stmt] = []
    for statement in reversed(body):
        if isinstance(statement, ast.If):
            other = set(needed)
            then = _without_unused(statement.body, needed)
            otherwise = _without_unused(statement.orelse, other)
            needed |= other
            if then or otherwise:
                needed |= _names(statement.test)
                kept.append(ast.If(statement.test, then or [ast.Pass()], otherwise))
        elif isinstance(statement, ast.Assign):
            written = _names(statement.targets[0])
            if written & needed:
                needed -= written
                needed |= _names(statement.value)
                kept.append(statement)
    return kept[::-1]


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
