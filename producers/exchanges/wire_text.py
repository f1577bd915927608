"""The form of an exchange's usual frames as text with holes, and the contract's message of the same fields.

A wire text is a frame as the exchange writes it, with holes `<name:rule>` in place of what changes; without a
name nothing is captured. The contract's text has holes `<name>` for the bytes that go there. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

_HOLE: Final = re.compile(r"<(\w*)(?::(\w+))?>")
_DECIMAL: Final = r"[0-9]{1,20}+(?:\.[0-9]{1,20}+)?+"
_LEVEL: Final = rf'\["{_DECIMAL}","{_DECIMAL}"\]'
_ID: Final = r"0|[1-9][0-9]{0,14}+"
# What a hole may hold, so narrow that it keeps the contract, and that its bytes are what JSON means by them.
# What JSON and the contract allow and the rule does not is unusual: its frame goes the long way.
RULES: Final[Mapping[str, str]] = {
    "decimal": _DECIMAL,
    # Of a side that is not empty.
    "positive": rf"(?!0[0.]*+\"){_DECIMAL}",
    # Below 10^15, and so below 2^53.
    "id": _ID,
    "id_or_none": rf"-1|{_ID}",
    # Milliseconds before the year 2255: nothing that could be microseconds.
    "time": r"[1-8][0-9]{12}",
    "flag": r"true|false",
    "levels": rf"\[(?:{_LEVEL}(?:,{_LEVEL})*+)?+\]",
    # Of fields that are not used.
    "any_id": r"0|[1-9][0-9]{0,17}+",
    "any_decimal": r"[0-9.]{1,40}+",
}


def matcher(
    frame: str, given: Mapping[str, str], rules: Mapping[str, str] = RULES
) -> Callable[[bytes, int], re.Match[bytes] | None]:
    """What matches the rest of a whole frame, from a position on; named holes are groups, in their order.

    Args:
        given: text of holes that have no rule.
    """
    parts, end = [], 0
    for hole in _HOLE.finditer(frame):
        parts.append(re.escape(frame[end : hole.start()]))
        name, rule = hole.groups()
        if rule is None:
            parts.append(re.escape(given[name]))
        else:
            parts.append(f"({rules[rule]})" if name else f"(?:{rules[rule]})")
        end = hole.end()
    return re.compile("".join([*parts, re.escape(frame[end:])]).encode()).fullmatch


def captured(frame: str) -> tuple[str, ...]:
    """The names of the groups that `matcher` captures."""
    return tuple(hole[1] for hole in _HOLE.finditer(frame) if hole[1] and hole[2])


class ContractText:
    """The contract's text of one series.

    Args:
        given: text of holes that are the same in all messages of the series.

    Attributes:
        names: of the other holes, in order; `received_ms` is none of them.
    """

    def __init__(self, text: str, given: Mapping[str, str]) -> None:
        filled = _HOLE.sub(lambda hole: given.get(hole[1], hole[0]), text)
        names = [hole[1] for hole in _HOLE.finditer(filled)]
        self.names = tuple(name for name in names if name != "received_ms")
        assert "%" not in filled, text
        before, after = filled.split("<received_ms>")
        self._before, self._after = (_HOLE.sub("%b", part).encode() for part in (before, after))

    def received_at(self, now_ms: int) -> bytes:
        """The text of messages received in this millisecond, with `%b` in place of its holes."""
        return b"%b%d%b" % (self._before, now_ms, self._after)
