"""Windows and averages shared by all indicators of a set: each is kept, and computed, once per bar.

Two things make it cheap (TA.md "What it costs"): what several indicators need is kept once; and what does
not depend on the bar still open (the sum of the last n - 1 closed bars, their highest …, "tails") is computed when
a bar closes, so that an open bar costs one addition or comparison each. Sums are taken afresh from the window
whenever a bar closes, so nothing drifts. Windows start filled with NaN, which goes through sums and extremes until
it has left: warm-up comes by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import nan
from operator import add, itemgetter
from typing import Any, Final, NamedTuple

from consumers.indicators.bars import Bar
from consumers.indicators.quantities import BEFORE_THE_FIRST_BAR, COUNT, Quantities, quantities

Now = Sequence[Any]
"""All that is known at a bar: its quantities, then what was asked of `Windows`, each at its position."""

LONGEST_WINDOW: Final = 500  # bounds the state of a series; ta's longest default is 52


class WindowsState(NamedTuple):
    """Of a series, after its last closed bar.

    Attributes:
        before: quantities of the last closed bar.
        windows: per windowed quantity its last values, oldest first.
        sums, highest, lowest: per request, over the last n - 1 bars.
        averages: exponential averages after the last bar.
    """

    before: Quantities
    windows: tuple[tuple[float, ...], ...]
    sums: tuple[float, ...]
    highest: tuple[float, ...]
    lowest: tuple[float, ...]
    averages: tuple[float, ...]


class Windows:
    """Takes requests, gives the position of each answer in `Now`.

    Positions depend on all requests, so indicators are built twice on one object: once to say what they need, and
    after `arrange` once more to learn where it lies.
    """

    def __init__(self) -> None:
        self._lengths: dict[int, int] = {}
        self._sums: dict[tuple[int, int], int] = {}
        self._highest: dict[tuple[int, int, bool], int] = {}
        self._lowest: dict[tuple[int, int, bool], int] = {}
        self._averages: dict[tuple[int, float], int] = {}
        self._window_at: dict[int, int] = {}

    def sum(self, quantity: int, length: int) -> int:
        """Sum over the last `length` bars; NaN while there are fewer."""
        self.past(quantity, length)
        return self._sums.setdefault((quantity, length), 0)

    def highest(self, quantity: int, length: int, *, partial: bool = False) -> int:
        """Highest of the last `length` bars; while there are fewer NaN, or of those there are if `partial`."""
        self.past(quantity, length)
        return self._highest.setdefault((quantity, length, partial), 0)

    def lowest(self, quantity: int, length: int, *, partial: bool = False) -> int:
        """Lowest of the last `length` bars; while there are fewer NaN, or of those there are if `partial`."""
        self.past(quantity, length)
        return self._lowest.setdefault((quantity, length, partial), 0)

    def average(self, quantity: int, alpha: float) -> int:
        """Exponential average from the first value on (pandas' `adjust=False`).

        The caller hides its warm-up. The quantity must have no NaN after its first bar.
        """
        return self._averages.setdefault((quantity, alpha), 0)

    def past(self, quantity: int, length: int) -> int:
        """The bars before this one, oldest first, as a tuple of at least `length - 1` values (NaN: none yet)."""
        self._lengths[quantity] = max(self._lengths.get(quantity, 0), length - 1)
        return self._window_at.setdefault(quantity, 0)

    def arrange(self) -> None:
        """Give every request its position. Later requests must be repetitions of earlier ones."""
        self._quantities = tuple(self._lengths)
        place = {quantity: index for index, quantity in enumerate(self._quantities)}
        # Sums of one quantity are nested: each is the next shorter one and what lies before it.
        self._sums = dict.fromkeys(sorted(self._sums, key=lambda key: (place[key[0]], key[1])), 0)
        position = COUNT
        kinds: tuple[dict[Any, int], ...] = (self._sums, self._highest, self._lowest, self._averages)
        for kind in kinds:
            for request in kind:
                kind[request] = position
                position += 1
        self._window_at = {quantity: position + index for quantity, index in place.items()}
        self._pick_summed = _picker([quantity for quantity, _ in self._sums])
        self._cuts = tuple(
            _nested([n for q, n in self._sums if q == quantity]) for quantity in self._quantities
        )
        self._highest_of = tuple((q, place[q], n - 1, partial) for q, n, partial in self._highest)
        self._lowest_of = tuple((q, place[q], n - 1, partial) for q, n, partial in self._lowest)
        self._averaged = tuple(self._averages)

    def initial(self) -> WindowsState:
        return WindowsState(
            BEFORE_THE_FIRST_BAR,
            tuple((nan,) * self._lengths[quantity] for quantity in self._quantities),
            (nan,) * len(self._sums),
            (nan,) * len(self._highest),
            (nan,) * len(self._lowest),
            (nan,) * len(self._averages),
        )

    def now(self, state: WindowsState, bar: Bar) -> Now:
        """What is known at `bar`, closed or still open, after the closed bars in `state`."""
        before, windows, sums, highest, lowest, averages = state
        of = quantities(before, bar)
        known: list[Any] = [*of, *map(add, sums, self._pick_summed(of))]
        for (quantity, _, _, partial), tail in zip(self._highest_of, highest, strict=True):
            value = of[quantity]
            if partial:
                known.append(tail if tail > value else value)
            else:
                known.append(value if value > tail else tail)
        for (quantity, _, _, partial), tail in zip(self._lowest_of, lowest, strict=True):
            value = of[quantity]
            if partial:
                known.append(tail if tail < value else value)
            else:
                known.append(value if value < tail else tail)
        for (quantity, alpha), average in zip(self._averaged, averages, strict=True):
            value = of[quantity]
            # This form keeps the average of a constant exactly constant, as pandas does.
            known.append(average + alpha * (value - average) if average == average else value)
        known += windows
        return known

    def advance(self, state: WindowsState, now: Now) -> WindowsState:
        """The state after the bar of which `now` tells has closed."""
        windows = []
        sums = []
        for quantity, old, cuts in zip(self._quantities, state.windows, self._cuts, strict=True):
            window = (*old[1:], now[quantity])
            windows.append(window)
            total = 0.0
            for start, stop in cuts:
                total += sum(window[start:stop])
                sums.append(total)
        highest = []
        for (quantity, place, tail_length, partial), tail in zip(
            self._highest_of, state.highest, strict=True
        ):
            value = now[quantity]
            if partial:
                leaves = state.windows[place][-tail_length] >= tail
                highest.append(
                    value if not value < tail else max(windows[place][-tail_length:]) if leaves else tail
                )
            else:
                stays = state.windows[place][-tail_length] < tail
                highest.append(
                    value if value >= tail else tail if stays else max(windows[place][-tail_length:])
                )
        lowest = []
        for (quantity, place, tail_length, partial), tail in zip(self._lowest_of, state.lowest, strict=True):
            value = now[quantity]
            if partial:
                leaves = state.windows[place][-tail_length] <= tail
                lowest.append(
                    value if not value > tail else min(windows[place][-tail_length:]) if leaves else tail
                )
            else:
                stays = state.windows[place][-tail_length] > tail
                lowest.append(
                    value if value <= tail else tail if stays else min(windows[place][-tail_length:])
                )
        first_average = COUNT + len(sums) + len(highest) + len(lowest)
        return WindowsState(
            tuple(now[:COUNT]),
            tuple(windows),
            tuple(sums),
            tuple(highest),
            tuple(lowest),
            tuple(now[first_average : first_average + len(state.averages)]),
        )


def _nested(lengths: Sequence[int]) -> tuple[tuple[int, int | None], ...]:
    """Slices of a window whose running total is the sum over each tail of length n - 1, shortest first."""
    cuts: list[tuple[int, int | None]] = []
    stop = None
    for length in lengths:
        cuts.append((1 - length, stop))
        stop = 1 - length
    return tuple(cuts)


def _picker(positions: Sequence[int]) -> Callable[[Quantities], Sequence[float]]:
    """`itemgetter` that gives a sequence for any number of positions."""
    if len(positions) >= 2:
        return itemgetter(*positions)
    return lambda of: [of[position] for position in positions]
