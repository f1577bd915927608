"""Integers as the wire's decimal strings: always 8 places (BINANCE_SPOT.md §4.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

WIRE_DECIMALS: Final = 8


class Decimals:
    """Writes counts of 10**-decimals, `decimals` from 0 to 8."""

    __slots__ = ("_format",)

    def __init__(self, decimals: int) -> None:
        padding = "0" * (WIRE_DECIMALS - decimals)
        if decimals == 0:
            self._format: Callable[[int], str] = lambda value: f"{value}.{padding}"
            return
        scale = 10**decimals
        self._format = lambda value: f"{value // scale}.{value % scale:0{decimals}d}{padding}"

    def __call__(self, value: int) -> str:
        return self._format(value)
