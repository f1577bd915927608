"""Windows and averages shared by all indicators of a set: each is kept, and computed, once per bar.

Two things make them cheap (TA.md "What it costs"): indicators share them; and everything that does not depend
on the open bar (sum, highest and lowest of the last n - 1 closed bars: the tails) is computed when a bar
closes, so that an open bar costs one addition or comparison each. Sums are recomputed from the window at
every closed bar, so that rounding errors do not accumulate. Windows start filled with NaN, which propagates
through
sums and extremes until it has dropped out: this is the warm-up.

The methods return source for the functions that a set becomes (`compiler/`). Its variables: n3 is input 3; b0
a bar input of the previous bar; t7 the tail, or the average so far, of input 7, and x7 the next one; w2 the
window of bar input 2, and v2 the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import nan
from typing import Any, Final

from consumers.indicators.bar_inputs import AGE, BEFORE_THE_FIRST_BAR, COUNT, KEPT

Inputs = Sequence[Any]
"""Values that a step reads at a bar, by number: the bar inputs, then the requested windows."""

Window = tuple[float, ...]

LONGEST_WINDOW: Final = 500  # bounds the state of a series; ta's longest default is 52


class Windows:
    """Takes requests; returns the number of each in `Inputs`."""

    def __init__(self) -> None:
        self._next = COUNT
        self._lengths: dict[int, int] = {}
        self._sums: dict[tuple[int, int], int] = {}
        self._highest: dict[tuple[int, int], int] = {}
        self._lowest: dict[tuple[int, int], int] = {}
        self._averages: dict[tuple[int, float], int] = {}
        self._pasts: dict[tuple[int, int], int] = {}
        self._tails: dict[tuple[int, int], int] = {}

    def sum(self, bar_input: int, length: int) -> int:
        """Sum over the last `length` bars; NaN while there are fewer."""
        return self._windowed(self._sums, bar_input, length)

    def highest(self, bar_input: int, length: int) -> int:
        """Highest of the last `length` bars, or of those there are; the caller hides a warm-up."""
        return self._windowed(self._highest, bar_input, length)

    def lowest(self, bar_input: int, length: int) -> int:
        """Lowest of the last `length` bars, or of those there are; the caller hides a warm-up."""
        return self._windowed(self._lowest, bar_input, length)

    def past(self, bar_input: int, length: int) -> int:
        """The closed bars before this one: at least `length - 1` values, oldest first (NaN: none yet)."""
        return self._windowed(self._pasts, bar_input, length)

    def tail(self, bar_input: int, length: int) -> int:
        """The last `length - 1` bars up to this one, oldest first (NaN: none yet); known to `close` only."""
        return self._windowed(self._tails, bar_input, length)

    def average(self, bar_input: int, alpha: float) -> int:
        """Exponential average from the first value on (pandas' `adjust=False`).

        The caller hides its warm-up. The bar_input must have no NaN after its first value.
        """
        return self._number(self._averages, (bar_input, alpha))

    def initial(self) -> dict[str, float | Window]:
        """The variables that a series keeps, with their values before its first bar."""
        kept: dict[str, float | Window] = {f"b{i}": x for i, x in enumerate(BEFORE_THE_FIRST_BAR)}
        for kind in (self._sums, self._highest, self._lowest, self._averages):
            kept.update((f"t{number}", nan) for number in kind.values())
        kept.update((f"w{bar_input}", (nan,) * length) for bar_input, length in self._lengths.items())
        return kept

    def inputs(self) -> Iterator[str]:
        """Source of the requested values at a closed or open bar, computed after its bar inputs."""
        for (bar_input, _), number in self._pasts.items():
            yield f"n{number} = w{bar_input}"
        for (bar_input, _), number in self._sums.items():
            yield f"n{number} = t{number} + n{bar_input}"
        # Comparisons with the NaN of a tail without any bar are false.
        for (bar_input, _), number in self._highest.items():
            yield f"n{number} = t{number} if t{number} > n{bar_input} else n{bar_input}"
        for (bar_input, _), number in self._lowest.items():
            yield f"n{number} = t{number} if t{number} < n{bar_input} else n{bar_input}"
        if self._averages:
            yield f"if b{AGE} < 2.0:"  # changes have their first value at the second bar
            for (bar_input, _), number in self._averages.items():
                yield f"    t{number} = n{bar_input} if isnan(t{number}) else t{number}"
        # In this form the average of a constant stays exactly constant, as in pandas.
        for (bar_input, alpha), number in self._averages.items():
            yield f"n{number} = t{number} + {alpha!r} * (n{bar_input} - t{number})"

    def tails(self) -> Iterator[str]:
        """Source of the windows after the bar, and of the requested tails."""
        for bar_input in self._lengths:
            yield f"v{bar_input} = w{bar_input}[1:] + (n{bar_input},)"
        for (bar_input, length), number in self._tails.items():
            yield f"n{number} = {self._tail(bar_input, length)}"

    def next(self) -> Iterator[str]:
        """Source of the next tails, from the windows after the bar: x7 follows t7."""
        for bar_input in self._lengths:
            # Sums of one bar input are nested: each is the next shorter one plus the values before it.
            shorter, end = "", ""
            for length, number in sorted(
                (n, number) for (q, n), number in self._sums.items() if q == bar_input
            ):
                cut = f"v{bar_input}[{1 - length}:{end}]" if end else self._tail(bar_input, length)
                yield f"x{number} = {shorter}sum_in_order({cut})"
                shorter, end = f"x{number} + ", str(1 - length)
        # An extreme changes if the new value exceeds it, or if its own value drops out; NaN never does.
        for kind, beyond, extreme in ((self._highest, "<", "max"), (self._lowest, ">", "min")):
            for (bar_input, length), number in kind.items():
                yield f"x{number} = t{number}"
                yield f"if not n{bar_input} {beyond} t{number}:"
                yield f"    x{number} = n{bar_input}"
                yield f"elif w{bar_input}[{1 - length}] == t{number}:"
                yield f"    x{number} = {extreme}({self._tail(bar_input, length)})"

    def after(self) -> dict[str, str]:
        """The variables that a series keeps, with those that hold their next values."""
        tails = (*self._sums.values(), *self._highest.values(), *self._lowest.values())
        return {
            **{f"b{index}": f"n{bar_input}" for index, bar_input in enumerate(KEPT)},
            **{f"t{number}": f"x{number}" for number in tails},
            **{f"t{number}": f"n{number}" for number in self._averages.values()},
            **{f"w{bar_input}": f"v{bar_input}" for bar_input in self._lengths},
        }

    def _windowed(self, kind: dict[tuple[int, int], int], bar_input: int, length: int) -> int:
        self._lengths[bar_input] = max(self._lengths.get(bar_input, 0), length - 1)
        return self._number(kind, (bar_input, length))

    def _number(self, kind: dict[Any, int], request: tuple[int, Any]) -> int:
        if request not in kind:
            kind[request] = self._next
            self._next += 1
        return kind[request]

    def _tail(self, bar_input: int, length: int) -> str:
        whole = self._lengths[bar_input] == length - 1
        return f"v{bar_input}" if whole else f"v{bar_input}[{1 - length}:]"
