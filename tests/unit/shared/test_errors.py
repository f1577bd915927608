"""The drawn tree of errors is the tree of their classes, with their exit codes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import errors

ROOT = Path(__file__).resolve().parents[3]
BASE = "CryptoStreamError"
# Not of the product: the oracle uses the standard library alone.
LEFT_OUT = ("tests", "oracle")
LINE = re.compile(r"^    (?P<branch>[│ ]*(?:[├└]── )?)(?P<name>[A-Z]\w+)(?P<said>.*)$")


def drawn() -> Iterator[tuple[str, str | None, int]]:
    """Name, name of its base, exit code."""
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if (match := LINE.match(line)) is not None:
            depth = len(match["branch"]) // 4
            path[depth:] = [match["name"]]
            said = re.search(r"exit (\d)", match["said"])
            yield match["name"], path[depth - 1] if depth else None, int(said[1]) if said else 1


def defined() -> Iterator[tuple[str, str | None, int]]:
    """All subclasses of the base in all packages; read, not imported: some need what is not installed."""
    classes = [
        node
        for package in sorted({path.parent for path in ROOT.glob("*/__init__.py")})
        if package.name not in LEFT_OUT
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    codes = {BASE: 1}
    yield BASE, None, 1
    left = [(node, base.id) for node in classes for base in node.bases if isinstance(base, ast.Name)]
    while found := [(node, base) for node, base in left if base in codes]:
        left = [pair for pair in left if pair not in found]
        for node, base in found:
            codes[node.name] = next(_exit_codes(node), codes[base])
            yield node.name, base, codes[node.name]


def _exit_codes(node: ast.ClassDef) -> Iterator[int]:
    for part in node.body:
        match part:
            case ast.Assign(targets=[ast.Name(id="exit_code")], value=ast.Constant(value=int(code))):
                yield code


@pytest.mark.thorough
def test_every_error_is_drawn_below_its_base_with_its_exit_code() -> None:
    tree = list(drawn())
    assert len(tree) == len(set(tree))
    assert sorted(tree, key=str) == sorted(set(defined()), key=str)
