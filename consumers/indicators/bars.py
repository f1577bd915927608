"""The bar that indicators step on."""

from __future__ import annotations

from typing import NamedTuple


class Bar(NamedTuple):
    """A bar as numbers; `volume` is the base volume."""

    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
