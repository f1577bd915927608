"""Optimises inlined code: removes unused statements, copies and warm-up branches; lets variables share
locals.

This is correct because the statements are pure and have no loops (`inline.py`).
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from heapq import heappop, heappush
from typing import Any


def simplify(body: Sequence[ast.stmt], result: str, *, few_locals: bool) -> list[ast.stmt]:
    """The statements that the variable `result` depends on, without copies.

    Args:
        few_locals: variables share locals (`allocate_locals`); otherwise they keep their names.
    """
    body = remove_unused(body, {result})
    body = remove_unused(renamed(body, find_copies(body)), {result})
    return renamed(body, {**allocate_locals(body), result: result}) if few_locals else body


def remove_unused(body: Sequence[ast.stmt], needed: set[str]) -> list[ast.stmt]:
    """The statements that `needed` depends on; `needed` becomes the variables that they read from outside."""
    kept: list[ast.stmt] = []
    for statement in reversed(body):
        if isinstance(statement, ast.If):
            otherwise_needed = set(needed)
            then = remove_unused(statement.body, needed)
            otherwise = remove_unused(statement.orelse, otherwise_needed)
            needed |= otherwise_needed
            if then or otherwise:
                needed |= _names(statement.test, ast.Load)
                kept.append(ast.If(statement.test, then or [ast.Pass()], otherwise))
        elif not _changes_nothing(statement):
            written = _names(statement, ast.Store)
            if written & needed:
                needed -= written
                needed |= _names(statement, ast.Load)
                kept.append(statement)
    return kept[::-1]


def _changes_nothing(statement: ast.stmt) -> bool:
    """Whether it assigns a variable to itself, as a removed copy does."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=target)], value=ast.Name(id=value)):
            return target == value
    return False


def find_copies(body: Sequence[ast.stmt]) -> dict[str, str]:
    """Copies of variables, with their originals."""
    stored = Counter(variable for part in _flat(body) for variable in _names(part, ast.Store))
    same: dict[str, str] = {}
    for part in _flat(body):
        match part:
            case ast.Assign(targets=[ast.Name(id=copy)], value=ast.Name(id=original)):
                original = same.get(original, original)
                if stored[copy] == 1 and stored[original] == 1:
                    same[copy] = original
    return same


def allocate_locals(body: Sequence[ast.stmt]) -> dict[str, str]:
    """Locals by variable; variables share one if they are never live at the same time.

    The interpreter needs one more instruction for each use of a local from the 257th on.
    """
    spans: dict[str, tuple[int, int]] = {}
    for position, part in enumerate(_flat(body)):
        reads = (2 * position, _names(part, ast.Load))
        writes = (2 * position + 1, _names(part, ast.Store))
        for time, variables in (reads, writes):
            for variable in sorted(variables):  # the same code in every process
                spans[variable] = spans.get(variable, (time, time))[0], time
    shared: dict[str, str] = {}
    free: list[str] = []
    busy: list[tuple[int, str]] = []
    for variable, (start, end) in sorted(spans.items(), key=lambda item: item[1]):
        if start % 2 == 0:  # read before it is written: defined outside
            continue
        while busy and busy[0][0] < start:
            free.append(heappop(busy)[1])
        local = free.pop() if free else f"_{len(busy)}"
        heappush(busy, (end, local))
        shared[variable] = local
    return shared


def drop_warm_up_branches(body: Sequence[ast.stmt], growing: Sequence[str]) -> tuple[list[ast.stmt], float]:
    """The statements for values of the variables `growing` beyond all their bounds.

    Returns:
        The statements, and the largest bound.
    """
    warm = _WarmUpDropper(growing)
    module = warm.visit(ast.Module(renamed(body, {}), []))
    return list(module.body), warm.largest


class _WarmUpDropper(ast.NodeTransformer):
    def __init__(self, growing: Sequence[str]) -> None:
        self._growing = growing
        self.largest = 0.0

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        match node:
            case ast.Compare(ast.Name(id=variable), [operator], [ast.Constant(value=float(bound))]):
                if variable in self._growing:
                    self.largest = max(self.largest, bound)
                    return ast.Constant(isinstance(operator, ast.Gt | ast.GtE | ast.NotEq))
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        self.generic_visit(node)
        first, *rest = node.values
        if not isinstance(first, ast.Constant):
            return node
        if bool(first.value) is isinstance(node.op, ast.Or):
            return first
        return ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0]

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        return node

    def visit_If(self, node: ast.If) -> ast.stmt | list[ast.stmt]:
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        return node


def renamed(body: Sequence[ast.stmt], names: Mapping[str, str]) -> list[ast.stmt]:
    """A copy of the statements with renamed variables."""
    return [_renamed(statement, names) for statement in body]


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    if isinstance(node, list):
        return [_renamed(part, names) for part in node]
    if isinstance(node, ast.Name):
        return ast.Name(names.get(node.id, node.id), node.ctx)
    if isinstance(node, ast.stmt | ast.expr | ast.keyword):
        parts = {field: _renamed(getattr(node, field, None), names) for field in node._fields}
        return type(node)(**parts, lineno=0, col_offset=0)
    return node


def _flat(body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    """Statements and conditions, in the order of the source."""
    for statement in body:
        if isinstance(statement, ast.If):
            yield statement.test
            yield from _flat(statement.body)
            yield from _flat(statement.orelse)
        else:
            yield statement


@lru_cache(maxsize=8192)
def _names(node: ast.AST, context: type[ast.expr_context]) -> frozenset[str]:
    return frozenset(
        part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, context)
    )
