"""A double for the consumers' tests: an indicator set small enough to see through."""

from __future__ import annotations

import struct

from consumers.indicators.bars import Bar


class SumOfCloses:
    """Depends on every bar since the first: a bar left out or taken twice is seen for ever."""

    columns = ("sum_of_closes",)

    def __init__(self, version: bytes = b"1") -> None:
        self._version = version

    def initial(self) -> float:
        return 0.0

    def step(self, state: float, bar: Bar) -> tuple[float, tuple[float, ...]]:
        return state + bar.close, (state + bar.close,)

    def values(self, state: float, bar: Bar) -> tuple[float, ...]:
        return (state + bar.close,)

    def dump(self, state: float) -> bytes:
        return self._version + struct.pack("<d", state)

    def load(self, data: bytes) -> float:
        if data[:1] != self._version:
            raise ValueError("indicator state of another version")
        return float(struct.unpack("<d", data[1:])[0])
