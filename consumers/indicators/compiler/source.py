"""The syntax tree of a function's source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import lru_cache
from types import CodeType
from typing import Any


class CannotInlineError(TypeError):
    """A function uses a construct that cannot be inlined; the message names it and its line."""


def width(function: Callable[..., Any]) -> int:
    """Length of the tuple that `function` returns."""
    widths = {
        len(node.value.elts)
        for node in ast.walk(definition(function))
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple)
    }
    if len(widths) != 1:
        raise CannotInlineError(f"{function.__qualname__} must return tuples of one length")
    return widths.pop()


def definition(function: Callable[..., Any]) -> ast.FunctionDef:
    """The definition of a plain function, read-only.

    Raises:
        CannotInlineError: its source is missing, or it is a lambda.
    """
    return _parsed(inspect.unwrap(function).__code__)


@lru_cache(maxsize=512)
def _parsed(code: CodeType) -> ast.FunctionDef:
    try:
        source = textwrap.dedent(inspect.getsource(code))
    except OSError as error:
        raise CannotInlineError(f"the source of {code.co_qualname} is needed: {error}") from None
    (definition,) = ast.parse(source).body
    if not isinstance(definition, ast.FunctionDef):
        raise CannotInlineError(f"{code.co_qualname} is not a plain function")
    return definition
