"""Inlines calls of small pure functions into one function.

A call costs more than the arithmetic of most indicators, and so does passing numbers in tuples. A function's
source becomes statements with its parameters and constants substituted, its variables renamed, and its
returns replaced by assignments. The rules for such functions: `step.py`.
"""

from __future__ import annotations

import ast
import builtins
import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from math import isfinite
from typing import Any, Final

from consumers.indicators.compiler.source import CannotInlineError, definition

OURS: Final = "consumers.indicators."


class Numbered:
    """An argument that is only indexed by constants; `x[3]` becomes the variable `n3`."""

    def variable(self, number: int) -> ast.expr:
        return name(f"n{number}")


Parts = list[ast.expr]
"""An argument that is a tuple of known length: its elements."""

Argument = ast.expr | Parts | Numbered


class Inliner:
    """Collects the statements of one function, and the objects that they name."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {}
        self._calls = 0

    def call(
        self, function: Callable[..., Any], arguments: Sequence[Argument], results: Sequence[str]
    ) -> list[ast.stmt]:
        """The statements of a call; its results are in the variables `results`.

        Raises:
            CannotInlineError: the function breaks the rules.
        """
        self._calls += 1
        return _Call(self, function, arguments, results, f"__{self._calls}").statements()

    def constant(self, called: str, value: object) -> ast.expr:
        """A global or enclosing variable: numbers are inlined as constants, others by name."""
        if isinstance(value, int | float) and isfinite(value):
            return ast.Constant(value)
        if self.scope.setdefault(called, value) is not value:
            called = f"{called}_{id(value)}"
            self.scope[called] = value
        return name(called)


def name(variable: str) -> ast.expr:
    """A variable that is read."""
    return ast.Name(variable, ast.Load())


def assign(variable: str, value: ast.expr) -> ast.stmt:
    """The statement `variable = value`."""
    return ast.Assign([ast.Name(variable, ast.Store())], value, lineno=0)


class _Call(ast.NodeTransformer):
    """One inlined call of a function. (The methods `visit_…` are named by `ast`.)"""

    def __init__(
        self,
        inliner: Inliner,
        function: Callable[..., Any],
        arguments: Sequence[Argument],
        results: Sequence[str],
        suffix: str,
    ) -> None:
        self._inliner, self._function, self._results, self._suffix = inliner, function, results, suffix
        self._definition = definition(function)
        code = function.__code__
        self._variables = {*code.co_varnames, *code.co_cellvars}
        closure = zip(code.co_freevars, function.__closure__ or (), strict=True)
        self._outside = {**function.__globals__, **{var: cell.cell_contents for var, cell in closure}}
        self._stores = Counter(
            node.id
            for node in ast.walk(self._definition)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        )
        self._known: dict[str, Argument] = {}
        self._whole_numbers = False
        self._before: list[ast.stmt] = []
        for parameter, argument in zip(self._definition.args.args, arguments, strict=True):
            if self._stores[parameter.arg] and isinstance(argument, ast.expr):
                self._before.append(assign(self._own(parameter.arg), argument))
            else:
                self._known[parameter.arg] = argument

    def statements(self) -> list[ast.stmt]:
        body = self._definition.body
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):  # the docstring
            body = body[1:]
        return self._before + self._block(body)

    def _block(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        inlined: list[ast.stmt] = []
        for index, statement in enumerate(body):
            match statement:
                case ast.Return(value=value) if value is not None:
                    return inlined + self._return(value)
                case ast.If(test=test, body=then, orelse=otherwise):
                    condition = self.visit(deepcopy(test))
                    if any(isinstance(node, ast.Return) for node in ast.walk(statement)):
                        rest = [*otherwise, *body[index + 1 :]]
                        if not _returns(then) or not _returns(rest):
                            raise self._cannot(statement, "an `if` that returns on some paths only")
                        inlined.append(ast.If(condition, self._block(then), self._block(rest)))
                        return inlined
                    inlined.append(ast.If(condition, self._block(then), self._block(otherwise)))
                case ast.Assign(targets=[target], value=value):
                    inlined += self._assignment(target, value)
                case ast.AugAssign(target=ast.Name(id=variable), op=operator, value=value):
                    grown = ast.BinOp(ast.Name(variable, ast.Load()), operator, value)
                    inlined.append(assign(self._own(variable), self.visit(deepcopy(grown))))
                case _:
                    raise self._cannot(statement, type(statement).__name__.lower())
        return inlined

    def _return(self, value: ast.expr) -> list[ast.stmt]:
        parts = value.elts if isinstance(value, ast.Tuple) else [value]
        if any(isinstance(part, ast.Starred) for part in parts) or len(parts) != len(self._results):
            raise self._cannot(value, f"a return of other than {len(self._results)} values")
        return [
            assign(result, self.visit(deepcopy(part)))
            for result, part in zip(self._results, parts, strict=True)
        ]

    def _assignment(self, target: ast.expr, value: ast.expr) -> list[ast.stmt]:
        targets = target.elts if isinstance(target, ast.Tuple) else [target]
        if not all(isinstance(part, ast.Name) for part in targets):
            raise self._cannot(target, "an assignment to other than variables")
        variables = [part.id for part in targets if isinstance(part, ast.Name)]
        if isinstance(value, ast.Call) and not value.keywords and (called := self._ours(value.func)):
            results = [self._own(variable) + "_" for variable in variables]
            inlined = self._nested_call(called, value.args, results)
            return inlined + self._store(variables, [name(result) for result in results])
        if isinstance(target, ast.Tuple):
            parts = self._parts(value)
            if parts is None or len(parts) != len(variables):
                own: list[ast.expr] = [ast.Name(self._own(variable), ast.Store()) for variable in variables]
                return [ast.Assign([ast.Tuple(own, ast.Store())], self.visit(deepcopy(value)), lineno=0)]
            return self._store(variables, parts)
        return self._store(variables, [self.visit(deepcopy(value))])

    def _nested_call(
        self, called: Callable[..., Any], given: Sequence[ast.expr], results: Sequence[str]
    ) -> list[ast.stmt]:
        inlined: list[ast.stmt] = []
        arguments: list[Argument] = []
        for number, part in enumerate(given):
            known = self._known.get(part.id) if isinstance(part, ast.Name) else None
            argument = known if known is not None else self.visit(deepcopy(part))
            if isinstance(argument, ast.expr) and not isinstance(argument, ast.Name | ast.Constant):
                variable = f"{results[0]}{number}"
                inlined.append(assign(variable, argument))
                argument = name(variable)
            arguments.append(argument)
        return inlined + self._inliner.call(called, arguments, results)

    def _parts(self, value: ast.expr) -> Parts | None:
        """The elements of a tuple, if they can be assigned separately."""
        if isinstance(value, ast.Name):
            known = self._known.get(value.id)
            return known if isinstance(known, list) else None
        if isinstance(value, ast.Tuple) and not any(
            isinstance(node, ast.Name) and self._stores[node.id] > 1 for node in ast.walk(value)
        ):
            return [self.visit(deepcopy(part)) for part in value.elts]
        return None

    def _store(self, variables: Sequence[str], values: Sequence[ast.expr]) -> list[ast.stmt]:
        inlined = []
        for variable, value in zip(variables, values, strict=True):
            # A variable that never changes needs no copy.
            if (
                self._stores[variable] == 1
                and isinstance(value, ast.Name)
                and not value.id.endswith(self._suffix)
            ):
                self._known[variable] = value
            else:
                inlined.append(assign(self._own(variable), value))
        return inlined

    def visit_Name(self, node: ast.Name) -> ast.expr:
        known = self._known.get(node.id)
        if known is not None:
            if not isinstance(known, ast.expr):
                raise self._cannot(node, f"{node.id} used as a whole")
            return known
        if node.id in self._variables:
            return ast.Name(self._own(node.id), node.ctx)
        if node.id in self._outside:
            return self._inliner.constant(node.id, self._outside[node.id])
        if hasattr(builtins, node.id):
            return node
        raise self._cannot(node, f"the unknown name {node.id}")

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        known = self._known.get(node.value.id) if isinstance(node.value, ast.Name) else None
        outer, self._whole_numbers = self._whole_numbers, True
        index = self.visit(node.slice)
        self._whole_numbers = outer
        if known is None or isinstance(known, ast.expr):
            return ast.Subscript(self.visit(node.value), index, node.ctx)
        if not isinstance(index, ast.Constant) or type(index.value) is not int:
            raise self._cannot(node, "an index that is not constant")
        return known.variable(index.value) if isinstance(known, Numbered) else known[index.value]

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if not self._whole_numbers and not isinstance(node.left, ast.Tuple):
            node.left, node.right = _as_float(node.left), _as_float(node.right)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        node.left, node.comparators = _as_float(node.left), [_as_float(part) for part in node.comparators]
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.comprehension | ast.Lambda | ast.NamedExpr | ast.Starred):
            raise self._cannot(node, type(node).__name__.lower())
        return super().generic_visit(node)

    def _own(self, variable: str) -> str:
        return variable + self._suffix

    def _ours(self, function: ast.expr) -> Callable[..., Any] | None:
        value = self._outside.get(function.id) if isinstance(function, ast.Name) else None
        if not inspect.isfunction(value) or not value.__module__.startswith(OURS):
            return None
        return None if any(isinstance(node, ast.For) for node in ast.walk(definition(value))) else value

    def _cannot(self, node: ast.AST, what: str) -> CannotInlineError:
        code = self._function.__code__
        line = code.co_firstlineno + getattr(node, "lineno", 1) - 1
        return CannotInlineError(
            f"{self._function.__qualname__} ({code.co_filename}:{line}): {what} cannot be inlined; "
            "the rules for indicators are in consumers/indicators/step.py"
        )


def _returns(body: Sequence[ast.stmt]) -> bool:
    """Whether every path through `body` returns."""
    if not body:
        return False
    last = body[-1]
    if isinstance(last, ast.If):
        return _returns(last.body) and _returns(last.orelse)
    return isinstance(last, ast.Return)


def _as_float(node: ast.expr) -> ast.expr:
    """Integer constants in arithmetic as floats, which they become anyway: faster in the interpreter."""
    return (
        ast.Constant(float(node.value))
        if isinstance(node, ast.Constant) and type(node.value) is int
        else node
    )
