"""Windows and averages shared by all indicators of a set: each is kept, and computed, once per bar.

Two things make it cheap (TA.md "What it costs"): what several indicators need is kept once; and what does not
depend on the bar still open (sum, highest and lowest of the last n - 1 closed bars: the tails) is computed
when a bar closes, so that an open bar costs one addition or comparison each. Sums are taken afresh from the
window whenever a bar closes, so nothing drifts. Windows start filled with NaN, which goes through sums and
extremes
until it has left: warm-up comes by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import isnan, nan
from operator import add, itemgetter
from typing import Any, Final, NamedTuple

from consumers.indicators.bars import Bar
from consumers.indicators.quantities import AGE, BEFORE_THE_FIRST_BAR, COUNT, Quantities, quantities

Now = Sequence[Any]
"""All that is known at a bar: its quantities, then what was asked of `Windows`, each at its position."""

Window = tuple[float, ...]

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
    windows: tuple[Window, ...]
    sums: tuple[float, ...]
    highest: tuple[float, ...]
    lowest: tuple[float, ...]
    averages: tuple[float, ...]


class Windows:
    """Takes requests, gives the position of each answer in `Now`.

    Positions depend on all requests, so indicators are made twice on one object: once to say what they need,
    and after `arrange` once more to learn where it lies.
    """

    def __init__(self) -> None:
        self._lengths: dict[int, int] = {}
        self._window_at: dict[int, int] = {}
        self._sums: dict[tuple[int, int], int] = {}
        self._highest: dict[tuple[int, int], int] = {}
        self._lowest: dict[tuple[int, int], int] = {}
        self._averages: dict[tuple[int, float], int] = {}

    def sum(self, quantity: int, length: int) -> int:
        """Sum over the last `length` bars; NaN while there are fewer."""
        self.past(quantity, length)
        return self._sums.setdefault((quantity, length), 0)

    def highest(self, quantity: int, length: int) -> int:
        """Highest of the last `length` bars, or of those there are; the caller hides a warm-up."""
        self.past(quantity, length)
        return self._highest.setdefault((quantity, length), 0)

    def lowest(self, quantity: int, length: int) -> int:
        """Lowest of the last `length` bars, or of those there are; the caller hides a warm-up."""
        self.past(quantity, length)
        return self._lowest.setdefault((quantity, length), 0)

    def average(self, quantity: int, alpha: float) -> int:
        """Exponential average from the first value on (pandas' `adjust=False`).

        The caller hides its warm-up. The quantity must have no NaN after its first value.
        """
        return self._averages.setdefault((quantity, alpha), 0)

    def past(self, quantity: int, length: int) -> int:
        """The closed bars before this one: at least `length - 1` values, oldest first (NaN: none yet)."""
        self._lengths[quantity] = max(self._lengths.get(quantity, 0), length - 1)
        return self._window_at.setdefault(quantity, 0)

    def arrange(self) -> None:
        """Give every request its position. Later requests must be repetitions of earlier ones."""
        self._windowed = tuple(self._lengths)
        place = {quantity: index for index, quantity in enumerate(self._windowed)}
        # Sums of one quantity are nested: each is the next shorter one and what lies before it.
        self._sums = dict.fromkeys(sorted(self._sums, key=lambda request: (place[request[0]], request[1])), 0)
        self._cuts = tuple(
            _nested([n for q, n in self._sums if q == quantity]) for quantity in self._windowed
        )
        kinds: tuple[dict[Any, int], ...] = (self._sums, self._highest, self._lowest, self._averages)
        position = COUNT
        for kind in kinds:
            for request in kind:
                kind[request] = position
                position += 1
        self._window_at = {quantity: position + index for quantity, index in place.items()}
        self._averages_start = position - len(self._averages)
        self._alphas = tuple(alpha for _, alpha in self._averages)
        self._pick_summed, self._pick_averaged = _picker(self._sums), _picker(self._averages)
        self._pick_highest, self._pick_lowest = _picker(self._highest), _picker(self._lowest)
        self._highest_in = tuple((place[q], 1 - n, slice(1 - n, None)) for q, n in self._highest)
        self._lowest_in = tuple((place[q], 1 - n, slice(1 - n, None)) for q, n in self._lowest)

    def initial(self) -> WindowsState:
        """The state of a series without any bar."""
        return WindowsState(
            BEFORE_THE_FIRST_BAR,
            tuple((nan,) * self._lengths[quantity] for quantity in self._windowed),
            (nan,) * len(self._sums),
            (nan,) * len(self._highest),
            (nan,) * len(self._lowest),
            (nan,) * len(self._averages),
        )

    def now(self, state: WindowsState, bar: Bar) -> Now:
        """What is known at `bar`, closed or still open, after the closed bars in `state`."""
        before, windows, sums, highest, lowest, averages = state
        of = quantities(before, bar)
        averaged = self._pick_averaged(of)
        if before[AGE] < 2.0:  # changes have their first value at the second bar
            averages = tuple(
                x if isnan(average) else average for x, average in zip(averaged, averages, strict=True)
            )
        return [
            *of,
            *map(add, sums, self._pick_summed(of)),
            # Comparisons with the NaN of a tail without any bar are false.
            *[tail if tail > x else x for x, tail in zip(self._pick_highest(of), highest, strict=True)],
            *[tail if tail < x else x for x, tail in zip(self._pick_lowest(of), lowest, strict=True)],
            # In this form the average of a constant stays exactly constant, as pandas has it.
            *[
                average + alpha * (x - average)
                for x, alpha, average in zip(averaged, self._alphas, averages, strict=True)
            ],
            *windows,
        ]

    def advance(self, state: WindowsState, now: Now) -> WindowsState:
        """The state after the bar of which `now` tells has closed."""
        old = state.windows
        windows: list[Window] = []
        sums: list[float] = []
        for quantity, window, cuts in zip(self._windowed, old, self._cuts, strict=True):
            moved = window[1:] + (now[quantity],)  # noqa: RUF005  twice as fast as unpacking
            windows.append(moved)
            total = 0.0
            for cut in cuts:
                total += sum(moved[cut])
                sums.append(total)
        # An extreme changes if the new value goes beyond it, or if it is the one that leaves. NaN never is.
        highest: list[float] = []
        for (place, leaves, cut), tail in zip(self._highest_in, state.highest, strict=True):
            window = windows[place]
            if not (x := window[-1]) < tail:
                highest.append(x)
            else:
                highest.append(max(window[cut]) if old[place][leaves] >= tail else tail)
        lowest: list[float] = []
        for (place, leaves, cut), tail in zip(self._lowest_in, state.lowest, strict=True):
            window = windows[place]
            if not (x := window[-1]) > tail:
                lowest.append(x)
            else:
                lowest.append(min(window[cut]) if old[place][leaves] <= tail else tail)
        return WindowsState(
            tuple(now[:COUNT]),
            tuple(windows),
            tuple(sums),
            tuple(highest),
            tuple(lowest),
            tuple(now[self._averages_start : self._averages_start + len(self._alphas)]),
        )


def _nested(lengths: Sequence[int]) -> tuple[slice, ...]:
    """Slices of a window whose running total is the sum over each tail of length n - 1, shortest first."""
    starts = [1 - length for length in lengths]
    return tuple(slice(start, stop) for start, stop in zip(starts, (None, *starts), strict=False))


def _picker(requests: Iterable[tuple[int, Any]]) -> Callable[[Quantities], Sequence[float]]:
    """`itemgetter` of the requests' quantities that gives a sequence for any number of them."""
    positions = [quantity for quantity, _ in requests]
    if len(positions) >= 2:
        return itemgetter(*positions)
    return lambda of: [of[position] for position in positions]
