"""Windows and averages shared by all indicators of a set: each is kept, and computed, once per bar.

Two things make it cheap (TA.md "What it costs"): what several indicators need is kept once; and what does not
depend on the bar still open (sum, highest and lowest of the last n - 1 closed bars: the tails) is computed
when a bar closes, so that an open bar costs one addition or comparison each. Sums are taken afresh from the
window whenever a bar closes, so nothing drifts. Windows start filled with NaN, which goes through sums and
extremes until it has left: warm-up comes by itself.

All is given as source, for the one function that a set of indicators becomes (`compose.py`). Its variables:
n3 what is known at a bar under number 3; b0 a quantity of the bar before; t7 the tail, or the average so far,
behind number 7, and x7 the next one; w2 the window of quantity 2, and v2 the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import nan
from typing import Any, Final

from consumers.indicators.quantities import AGE, BEFORE_THE_FIRST_BAR, COUNT, KEPT

Now = Sequence[Any]
"""All that is known at a bar, by number: its quantities, then what was asked of `Windows`."""

Window = tuple[float, ...]

LONGEST_WINDOW: Final = 500  # bounds the state of a series; ta's longest default is 52


class Windows:
    """Takes requests, gives the number of each answer in `Now`."""

    def __init__(self) -> None:
        self._next = COUNT
        self._lengths: dict[int, int] = {}
        self._sums: dict[tuple[int, int], int] = {}
        self._highest: dict[tuple[int, int], int] = {}
        self._lowest: dict[tuple[int, int], int] = {}
        self._averages: dict[tuple[int, float], int] = {}
        self._pasts: dict[tuple[int, int], int] = {}
        self._tails: dict[tuple[int, int], int] = {}

    def sum(self, quantity: int, length: int) -> int:
        """Sum over the last `length` bars; NaN while there are fewer."""
        return self._windowed(self._sums, quantity, length)

    def highest(self, quantity: int, length: int) -> int:
        """Highest of the last `length` bars, or of those there are; the caller hides a warm-up."""
        return self._windowed(self._highest, quantity, length)

    def lowest(self, quantity: int, length: int) -> int:
        """Lowest of the last `length` bars, or of those there are; the caller hides a warm-up."""
        return self._windowed(self._lowest, quantity, length)

    def past(self, quantity: int, length: int) -> int:
        """The closed bars before this one: at least `length - 1` values, oldest first (NaN: none yet)."""
        return self._windowed(self._pasts, quantity, length)

    def tail(self, quantity: int, length: int) -> int:
        """The last `length - 1` bars up to this one, oldest first (NaN: none yet); known to `close` only."""
        return self._windowed(self._tails, quantity, length)

    def average(self, quantity: int, alpha: float) -> int:
        """Exponential average from the first value on (pandas' `adjust=False`).

        The caller hides its warm-up. The quantity must have no NaN after its first value.
        """
        return self._number(self._averages, (quantity, alpha))

    def initial(self) -> dict[str, float | Window]:
        """The variables that a series keeps, with their values before its first bar."""
        kept: dict[str, float | Window] = {f"b{i}": x for i, x in enumerate(BEFORE_THE_FIRST_BAR)}
        for kind in (self._sums, self._highest, self._lowest, self._averages):
            kept.update((f"t{number}", nan) for number in kind.values())
        kept.update((f"w{quantity}", (nan,) * length) for quantity, length in self._lengths.items())
        return kept

    def now(self) -> Iterator[str]:
        """Source of what is known at a bar, closed or still open, once its quantities are."""
        for (quantity, _), number in self._pasts.items():
            yield f"n{number} = w{quantity}"
        for (quantity, _), number in self._sums.items():
            yield f"n{number} = t{number} + n{quantity}"
        # Comparisons with the NaN of a tail without any bar are false.
        for (quantity, _), number in self._highest.items():
            yield f"n{number} = t{number} if t{number} > n{quantity} else n{quantity}"
        for (quantity, _), number in self._lowest.items():
            yield f"n{number} = t{number} if t{number} < n{quantity} else n{quantity}"
        if self._averages:
            yield f"if b{AGE} < 2.0:"  # changes have their first value at the second bar
            for (quantity, _), number in self._averages.items():
                yield f"    t{number} = n{quantity} if isnan(t{number}) else t{number}"
        # In this form the average of a constant stays exactly constant, as pandas has it.
        for (quantity, alpha), number in self._averages.items():
            yield f"n{number} = t{number} + {alpha!r} * (n{quantity} - t{number})"

    def tails(self) -> Iterator[str]:
        """Source of the windows after the bar, and of the tails of them that were asked for."""
        for quantity in self._lengths:
            yield f"v{quantity} = w{quantity}[1:] + (n{quantity},)"
        for (quantity, length), number in self._tails.items():
            yield f"n{number} = {self._tail(quantity, length)}"

    def next(self) -> Iterator[str]:
        """Source of what follows from the windows after the bar: x7 comes after t7."""
        for quantity in self._lengths:
            # Sums of one quantity are nested: each is the next shorter one and what lies before it.
            shorter, end = "", ""
            for length, number in sorted(
                (n, number) for (q, n), number in self._sums.items() if q == quantity
            ):
                cut = f"v{quantity}[{1 - length}:{end}]" if end else self._tail(quantity, length)
                yield f"x{number} = {shorter}sum({cut})"
                shorter, end = f"x{number} + ", str(1 - length)
        # An extreme changes if the new value goes beyond it, or if it is the one that leaves. NaN never is.
        for kind, beyond, extreme in ((self._highest, "<", "max"), (self._lowest, ">", "min")):
            for (quantity, length), number in kind.items():
                yield f"x{number} = t{number}"
                yield f"if not n{quantity} {beyond} t{number}:"
                yield f"    x{number} = n{quantity}"
                yield f"elif w{quantity}[{1 - length}] == t{number}:"
                yield f"    x{number} = {extreme}({self._tail(quantity, length)})"

    def after(self) -> dict[str, str]:
        """The variables that a series keeps, with those that hold their next values."""
        tails = (*self._sums.values(), *self._highest.values(), *self._lowest.values())
        return {
            **{f"b{place}": f"n{quantity}" for place, quantity in enumerate(KEPT)},
            **{f"t{number}": f"x{number}" for number in tails},
            **{f"t{number}": f"n{number}" for number in self._averages.values()},
            **{f"w{quantity}": f"v{quantity}" for quantity in self._lengths},
        }

    def _windowed(self, kind: dict[tuple[int, int], int], quantity: int, length: int) -> int:
        self._lengths[quantity] = max(self._lengths.get(quantity, 0), length - 1)
        return self._number(kind, (quantity, length))

    def _number(self, kind: dict[Any, int], request: tuple[int, Any]) -> int:
        if request not in kind:
            kind[request] = self._next
            self._next += 1
        return kind[request]

    def _tail(self, quantity: int, length: int) -> str:
        whole = self._lengths[quantity] == length - 1
        return f"v{quantity}" if whole else f"v{quantity}[{1 - length}:]"
