"""All that an object holds, as plain values that can be compared."""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Set
from enum import Enum
from typing import Any

from producers.newest_messages import NewestMessages

_PLAIN = (str, bytes, int, float, type(None), Enum)
_LEFT_OUT = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, type)


def state_of(value: Any) -> Any:  # noqa: PLR0911 - a table
    """Functions are left out; the newest messages count as decoded."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, _LEFT_OUT):
        return None
    if isinstance(value, NewestMessages):
        decoded = {key: state_of(value[key]) for key in value}
        return decoded, state_of(value.highest_trade)
    if isinstance(value, dict):
        return {key: state_of(each) for key, each in value.items()}
    if isinstance(value, list | tuple | deque):
        return [state_of(each) for each in value]
    if isinstance(value, Set):
        return sorted(value)
    names = [*getattr(value, "__dict__", ())]
    for kind in type(value).__mro__:
        names += [name for name in getattr(kind, "__slots__", ()) if hasattr(value, name)]
    assert names or not hasattr(value, "__len__"), type(value)
    return type(value).__name__, {name: state_of(getattr(value, name)) for name in names}
