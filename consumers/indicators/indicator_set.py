"""A set of indicators over one kind of series: from a state and a bar to values."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, NamedTuple

from consumers.indicators.bars import Bar
from consumers.indicators.step import Indicator, Memory
from consumers.indicators.windows import Windows, WindowsState

# Raise it when the meaning or the order of stored numbers changes: old states are then refused, and rebuilt
# from Kafka.
STATE_LAYOUT: Final = 1
_MAGIC: Final = b"CSI"
_HEADER_BYTES: Final = 20  # magic, layout, and 16 bytes of the digest of the set


class State(NamedTuple):
    """Of one series after its last closed bar: tuples of floats of a shape that the set fixes."""

    windows: WindowsState
    memories: tuple[Memory, ...]


@dataclass(frozen=True)
class Column:
    """One column of a set.

    Attributes:
        name: as stored (DESIGN §4.3).
        make: the function of the indicator that gives the column, called with `parameters`.
        index: position among the columns of that indicator.
        warm_up: bars before the first value.
    """

    name: str
    make: Callable[..., Indicator]
    parameters: tuple[tuple[str, int], ...]
    index: int
    warm_up: int


class IndicatorSet:
    """Computes its columns bar by bar; pure, holds no state of a series, so one set serves any number of
    series.

    Attributes:
        columns: names of the values, in their order.
        warm_up: per column the number of bars before its first value (of those that begin with 0.0 in `ta`:
            none).
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(column.name for column in columns)
        self.warm_up = {column.name: column.warm_up for column in columns}
        used = tuple(dict.fromkeys((column.make, column.parameters) for column in columns))
        self._windows = Windows()
        for _ in range(2):  # what they need, then where it lies
            made: list[Indicator] = [make(self._windows, **dict(parameters)) for make, parameters in used]
            self._windows.arrange()
        self._steps = tuple(indicator.step for indicator in made)
        self._closes = tuple((i, indicator.close) for i, indicator in enumerate(made) if indicator.close)
        self._initial = State(self._windows.initial(), tuple(indicator.initial for indicator in made))
        self._select = self._selection(columns, used)
        self._shape = (tuple(self._initial.windows), self._initial.memories)
        self._numbers = len(_flat(self._shape))
        shape = repr((columns_identity(columns), self._numbers)).encode()
        digest = hashlib.blake2b(shape, digest_size=16).digest()
        self._header = _MAGIC + bytes((STATE_LAYOUT,)) + digest

    def initial(self) -> State:
        """The state of a series without any bar."""
        return self._initial

    def step(self, state: State, bar: Bar) -> tuple[State, tuple[float, ...]]:
        """The state after a closed bar, and its values: NaN where undefined, ±inf where `ta` gives it."""
        now = self._windows.now(state.windows, bar)
        stepped = []
        known: list[Any] = []
        for step, memory in zip(self._steps, state.memories, strict=True):
            after = step(memory, now)
            stepped.append(after)
            known += after
        for index, close in self._closes:
            stepped[index] = close(state.memories[index], stepped[index], now)
        return State(self._windows.advance(state.windows, now), tuple(stepped)), self._select(known)

    def values(self, state: State, bar: Bar) -> tuple[float, ...]:
        """The values at a bar still open: those that `step` would give, without a new state."""
        now = self._windows.now(state.windows, bar)
        known: list[Any] = []
        for step, memory in zip(self._steps, state.memories, strict=True):
            known += step(memory, now)
        return self._select(known)

    def dump(self, state: State) -> bytes:
        """A state as bytes, bit for bit: header, then float64 numbers, little-endian."""
        return self._header + struct.pack(
            f"<{self._numbers}d", *_flat((tuple(state.windows), state.memories))
        )

    def load(self, data: bytes) -> State:
        """The state that `dump` wrote.

        Raises:
            ValueError: written by another version or another set, or cut short.
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
        (windows, memories), _ = _shaped(self._shape, numbers, 0)
        return State(WindowsState(*windows), memories)

    def _selection(
        self, columns: Sequence[Column], used: Sequence[tuple[Any, ...]]
    ) -> Callable[[Sequence[Any]], tuple[float, ...]]:
        """Picks the columns out of what all steps give, which has one length whatever the bar."""
        now = self._windows.now(self._initial.windows, Bar(0, 1.0, 1.0, 1.0, 1.0, 1.0))
        starts = []
        total = 0
        for step, memory in zip(self._steps, self._initial.memories, strict=True):
            starts.append(total)
            total += len(step(memory, now))
        places = [starts[used.index((column.make, column.parameters))] + column.index for column in columns]
        if len(places) == 1:
            return lambda stepped: (stepped[places[0]],)
        return itemgetter(*places)


def columns_identity(columns: Sequence[Column]) -> tuple[Any, ...]:
    """What two sets must have in common for one to read the other's states."""
    return tuple((column.name, column.make.__qualname__, column.parameters) for column in columns)


def _flat(tree: tuple[Any, ...]) -> list[float]:
    if tuple not in map(type, tree):
        return list(tree)
    numbers: list[float] = []
    for branch in tree:
        if type(branch) is tuple:
            numbers += _flat(branch)
        else:
            numbers.append(branch)
    return numbers


def _shaped(template: tuple[Any, ...], numbers: tuple[float, ...], start: int) -> tuple[tuple[Any, ...], int]:
    """The numbers from `start` on in the shape of the template, and where the rest begins."""
    if tuple not in map(type, template):
        end = start + len(template)
        return numbers[start:end], end
    tree: list[Any] = []
    for branch in template:
        if type(branch) is tuple:
            shaped, start = _shaped(branch, numbers, start)
            tree.append(shaped)
        else:
            tree.append(numbers[start])
            start += 1
    return tuple(tree), start
