"""From which bar on a value no longer depends on where its series began.

The series is computed from its first bar, and again from several later bars on; where both come to the same
values, and stay there, the past before is forgotten. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any, Final, NamedTuple

from consumers.indicators.bars import Bar
from consumers.indicators.indicator_set import IndicatorSet
from cryptostream.indicator_files.engines import Values

STARTS: Final = 5
# An average with a window of n bars forgets to 1e-9 in some ten (exponential) or twenty (Wilder's) times n.
_LEAST_HORIZON: Final = 1_000
_WINDOWS: Final = 20
# Equal: to 1e-9 of the value, or to what rounding leaves of differences that come near zero.
RELATIVE: Final = 1e-9
OF_THE_LARGEST: Final = 1e-12


class Stability(NamedTuple):
    """What was found of one column.

    Attributes:
        declared: bars before its first value, as the registry says.
        stable_after: bars after which it equals that of the long run, from whichever start; None if it did
            not come to that.
    """

    column: str
    declared: int
    stable_after: int | None


def horizon(indicators: IndicatorSet, count: int) -> int:
    """How many bars each later start is followed, in a series of `count`; 0 if that is too short."""
    longest = max(indicators.warm_up.values())
    followed = min(max(_LEAST_HORIZON, _WINDOWS * longest), count // 2)
    return followed if followed > longest + 1 else 0


def check_warm_up(indicators: IndicatorSet, bars: Iterable[Bar], count: int) -> list[Stability]:
    """Compare the long run with later starts, all in one pass over `count` bars.

    A column counts as stable if it stays equal for the last tenth, at least, of what was followed.
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
            for place in _different(values, others, largest):
                last_difference[place] = max(last_difference[place], position - start)
    settled = followed - followed // 10
    return [
        Stability(column, indicators.warm_up[column], last + 1 if last < settled else None)
        for column, last in zip(indicators.columns, last_difference, strict=True)
    ]


def _different(values: Values, others: Values, largest: list[float]) -> list[int]:
    """Places at which two rows differ; NaN equals NaN."""
    if values == others:
        return []
    return [
        place
        for place, (a, b) in enumerate(zip(values, others, strict=True))
        if a != b
        and not (a != a and b != b)  # noqa: PLR0124
        and not abs(a - b) <= RELATIVE * abs(a) + OF_THE_LARGEST * largest[place]
    ]
