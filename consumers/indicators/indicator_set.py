"""A set of indicators: computes values from a state and a bar."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any, Final

from consumers.indicators.compiler import State, compile_set, generated_source
from consumers.indicators.step import Indicator
from consumers.indicators.windows import Windows

# Raise it when the meaning or the order of stored numbers changes: old states are then rejected and rebuilt
# from Kafka.
STATE_LAYOUT: Final = 2
_MAGIC: Final = b"CSI"
_HEADER_BYTES: Final = 20  # magic, layout, and 16 bytes of the digest of the set


@dataclass(frozen=True)
class Column:
    """One column of a set.

    Attributes:
        name: as stored (DESIGN §4.3).
        make: the function of the column's indicator, called with `parameters`.
        index: position among the columns of that indicator.
        warm_up: bars before the first value.
    """

    name: str
    make: Callable[..., Indicator]
    parameters: tuple[tuple[str, int], ...]
    index: int
    warm_up: int


class IndicatorSet:
    """Computes its columns bar by bar; pure and without a series' state, so that one set serves all series.

    Attributes:
        columns: names of the values, in their order.
        warm_up: per column the number of bars before its first value (0 for those that begin with 0.0 in
            `ta`).
        values: the values of an open bar, given the state; NaN where undefined, ±inf as in `ta`.
        step: the next state and the values, given the state and a closed bar.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(column.name for column in columns)
        self.warm_up = {column.name: column.warm_up for column in columns}
        used = tuple(dict.fromkeys((column.make, column.parameters) for column in columns))
        windows = Windows()
        made = [make(windows, **dict(parameters)) for make, parameters in used]
        chosen = [(used.index((column.make, column.parameters)), column.index) for column in columns]
        self._program = windows, made, chosen
        compiled = compile_set(*self._program)
        self._initial, self.step, self.values = compiled.initial, compiled.step, compiled.values
        numbers, series = self._initial
        self._lengths = tuple(map(len, series))
        self._numbers = len(numbers) + sum(self._lengths)
        shape = repr((columns_identity(columns), self._numbers)).encode()
        digest = hashlib.blake2b(shape, digest_size=16).digest()
        self._header = _MAGIC + bytes((STATE_LAYOUT,)) + digest

    def initial(self) -> State:
        """The state of a series without any bar."""
        return self._initial

    def source(self) -> str:
        """The generated source of `values` and `step`, for readers (docs/decisions/indicator-speed.md)."""
        return generated_source(*self._program)

    def dump(self, state: State) -> bytes:
        """A state as bytes, bit for bit: header, then float64 numbers, little-endian."""
        numbers, series = state
        return self._header + struct.pack(f"<{self._numbers}d", *numbers, *chain.from_iterable(series))

    def load(self, data: bytes) -> State:
        """Inverse of `dump`.

        Raises:
            ValueError: written by another version or another set, or truncated.
        """
        header = data[:_HEADER_BYTES]
        if header[: len(_MAGIC)] != _MAGIC or len(header) < _HEADER_BYTES:
            raise ValueError(f"not an indicator state: it begins with {data[:4]!r}; rebuild it from the bars")
        if header != self._header:
            layout = header[len(_MAGIC)]
            reason = (
                f"of layout {layout}, not {STATE_LAYOUT}"
                if layout != STATE_LAYOUT
                else "of another set of indicators"
            )
            raise ValueError(f"indicator state is {reason}; rebuild it from the bars")
        if len(data) != _HEADER_BYTES + 8 * self._numbers:
            raise ValueError(
                f"indicator state has {len(data)} bytes, not {_HEADER_BYTES + 8 * self._numbers}"
            )
        numbers = struct.unpack_from(f"<{self._numbers}d", data, _HEADER_BYTES)
        ends = [*accumulate(self._lengths, initial=self._numbers - sum(self._lengths))]
        return numbers[: ends[0]], tuple(numbers[start:end] for start, end in pairwise(ends))


def columns_identity(columns: Sequence[Column]) -> tuple[Any, ...]:
    """Equal for two sets if one can read the other's states."""
    return tuple((column.name, column.make.__qualname__, column.parameters) for column in columns)
