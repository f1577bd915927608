"""Checks of indicators: from which bar on a value is stable, and whether it uses later bars. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from math import inf, nan
from typing import Any, Final, NamedTuple

from consumers.indicators.bars import Bar
from consumers.indicators.indicator_set import IndicatorSet
from cryptostream.indicator_files.compute import Values

Compute = Callable[[Sequence[Bar]], Iterable[Values]]

STARTS: Final = 5
# An average over n bars decays to 1e-9 in some 10 n (exponential) or 20 n bars (Wilder's).
_LEAST_HORIZON: Final = 1_000
_WINDOWS: Final = 20
# Values are equal within 1e-9 of the value, or within the rounding error of differences near zero.
RELATIVE: Final = 1e-9
OF_THE_LARGEST: Final = 1e-12
# `ta` needs 28 bars.
_FIRST_CUT: Final = 30
# Longer than any default window.
_OTHER_BARS: Final = 100


class Stability(NamedTuple):
    """Warm-up of one column.

    Attributes:
        declared: bars before its first value, by the registry.
        stable_after: bars after which the values of all later starts equal those of the long run; None if
            they never did.
    """

    column: str
    declared: int
    stable_after: int | None


def horizon(indicators: IndicatorSet, count: int) -> int:
    """For how many bars each later start is followed in a series of `count`; 0 if the series is too short."""
    longest = max(indicators.warm_up.values())
    followed = min(max(_LEAST_HORIZON, _WINDOWS * longest), count // 2)
    return followed if followed > longest + 1 else 0


def check_warm_up(indicators: IndicatorSet, bars: Iterable[Bar], count: int) -> list[Stability]:
    """Compute the series from its first bar and from later ones, in one pass over `count` bars, and compare.

    A column is stable if its values are equal for at least the last tenth of the followed bars.
    """
    followed = horizon(indicators, count)
    starts = {(count - followed) * number // STARTS for number in range(1, STARTS + 1)}
    state = indicators.initial()
    runs: dict[int, Any] = {}
    largest = [0.0] * len(indicators.columns)
    last_difference = [-1] * len(indicators.columns)
    for position, bar in enumerate(bars):
        state, values = indicators.step(state, bar)
        largest = [
            size if largest_so_far < (size := abs(value)) < inf else largest_so_far
            for value, largest_so_far in zip(values, largest, strict=True)
        ]
        if position in starts:
            runs[position] = indicators.initial()
        for start in [start for start in runs if position - start >= followed]:
            del runs[start]
        for start, other in runs.items():
            runs[start], others = indicators.step(other, bar)
            for column in _different(values, others, largest):
                last_difference[column] = max(last_difference[column], position - start)
    last_tenth = followed - followed // 10
    return [
        Stability(column, indicators.warm_up[column], last + 1 if last < last_tenth else None)
        for column, last in zip(indicators.columns, last_difference, strict=True)
    ]


def _different(values: Values, others: Values, largest: list[float]) -> list[int]:
    """Columns in which two rows differ; NaN equals NaN."""
    if values == others:
        return []
    return [
        column
        for column, (a, b) in enumerate(zip(values, others, strict=True))
        if a != b
        and not (a != a and b != b)  # noqa: PLR0124
        and not abs(a - b) <= RELATIVE * abs(a) + OF_THE_LARGEST * largest[column]
    ]


class LookAhead(NamedTuple):
    """A column that uses later bars: how many rows change with them, the first and the last (from 0)."""

    column: str
    rows: int
    first: int
    last: int


def cuts(count: int) -> list[int]:
    """After how many bars the series is cut: 30, 60, 120, …, and before its last bar."""
    lengths = []
    length = _FIRST_CUT
    while length < count - 1:
        lengths.append(length)
        length *= 2
    return [*lengths, count - 1] if count > _FIRST_CUT else []


def check_look_ahead(compute: Compute, columns: Sequence[str], bars: Sequence[Bar]) -> list[LookAhead]:
    """Columns whose values up to a cut differ, bit for bit, from those of the whole series.

    Each cut is computed without later bars, and with quite different ones.

    Args:
        compute: one row of values per bar.
        bars: more than 30, the first cut.
    """
    layout = struct.Struct(f"<{len(columns)}d")
    whole = [_bits(layout, values) for values in compute(bars)]
    changed: dict[str, set[int]] = {column: set() for column in columns}
    for cut in cuts(len(bars)):
        for later in ([], _other_bars(bars[cut - 1])):
            rows = compute([*bars[:cut], *later])
            for number, (expected, values) in enumerate(zip(whole[:cut], rows, strict=False)):
                found = _bits(layout, values)
                if found != expected:
                    for at, column in enumerate(columns):
                        if found[8 * at : 8 * at + 8] != expected[8 * at : 8 * at + 8]:
                            changed[column].add(number)
    return [LookAhead(column, len(rows), min(rows), max(rows)) for column, rows in changed.items() if rows]


def _bits(layout: struct.Struct, values: Values) -> bytes:
    # All NaNs are equal here.
    return layout.pack(*[nan if value != value else value for value in values])  # noqa: PLR0124


def _other_bars(last: Bar) -> list[Bar]:
    """Bars unlike any that might follow: prices a thousandfold and a thousandth in turn."""
    bars = []
    for number in range(1, _OTHER_BARS + 1):
        factor = 1000.0 if number % 2 else 0.001
        low = max(last.close, 1e-8) * factor
        bars.append(Bar(last.open_time_ms + number, low * 1.5, low * 4.0, low, low * 3.0, factor))
    return bars
