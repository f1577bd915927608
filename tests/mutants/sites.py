"""Where an operator of a source file can be exchanged for another, found in its syntax tree. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_COMPARISONS: Final[dict[type[ast.cmpop], tuple[str, str]]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
# `|` and `&` join types and flags more often than numbers.
_ARITHMETIC: Final[dict[type[ast.operator], tuple[str, str]]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
}
_LOGIC: Final[dict[type[ast.boolop], tuple[str, str]]] = {ast.And: ("and", "or"), ast.Or: ("or", "and")}


class Site(NamedTuple):
    """One operator.

    Attributes:
        begin, end: its bytes in the file.
        line: counted from 1.
        before, after: the operator, and what takes its place; "" leaves a `not` out.
    """

    begin: int
    end: int
    line: int
    before: str
    after: str


def sites_of(source: bytes) -> tuple[Site, ...]:
    """All operators of a module, in their order, without those of annotations, assertions and texts."""
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    finder = _Finder(source, lines)
    finder.visit(ast.parse(source))
    return tuple(sorted(finder.found))


def mutated(source: bytes, site: Site) -> bytes:
    """The module with this operator exchanged."""
    return source[: site.begin] + site.after.encode() + source[site.end :]


class _Finder(ast.NodeVisitor):
    def __init__(self, source: bytes, lines: list[int]) -> None:
        self._source = source
        self._lines = lines
        self.found: list[Site] = []

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for operator, left, right in zip(node.ops, operands, operands[1:], strict=False):
            self._between(left, right, *_COMPARISONS[type(operator)])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between(left, right, *_LOGIC[type(node.op)])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        swap = _ARITHMETIC.get(type(node.op))
        if swap is not None and not any(_is_text(side) for side in (node.left, node.right)):
            self._between(node.left, node.right, *swap)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        swap = _ARITHMETIC.get(type(node.op))
        if swap is not None and not _is_text(node.value):
            before, after = swap
            self._between(node.target, node.value, f"{before}=", f"{after}=")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            begin = self._begin_of(node)
            self.found.append(Site(begin, begin + len(b"not "), node.lineno, "not ", ""))
        self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        """Assertions tell the type checker; the ones that behaviour rests on are errors of ours."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Words for people: tests of errors compare them elsewhere."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node)

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        defaults: Iterator[ast.expr | None] = iter((*node.args.defaults, *node.args.kw_defaults))
        for part in (*(each for each in defaults if each is not None), *node.body):
            self.visit(part)

    def _between(self, left: ast.expr, right: ast.expr, before: str, after: str) -> None:
        begin, end = self._end_of(left), self._begin_of(right)
        words = before.split()
        pattern = rb"\s+".join(re.escape(word.encode()) for word in words)
        if words[0].isalpha():
            pattern = rb"\b" + pattern + rb"\b"
        for line in re.finditer(rb"[^\n]*", self._source[begin:end]):
            code = line.group().partition(b"#")[0]
            if (found := re.search(pattern, code)) is not None:
                at = begin + line.start() + found.start()
                lineno = self._source.count(b"\n", 0, at) + 1
                self.found.append(Site(at, at + len(found.group()), lineno, before, after))
                return
        raise ValueError(f'no "{before}" between the operands in line {left.lineno}')

    def _begin_of(self, node: ast.expr) -> int:
        return self._lines[node.lineno - 1] + node.col_offset

    def _end_of(self, node: ast.expr) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._lines[node.end_lineno - 1] + node.end_col_offset


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )
