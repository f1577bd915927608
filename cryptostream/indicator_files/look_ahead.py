"""Whether a value uses bars later than its own: computed without them, and with quite other ones. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from math import nan
from typing import Final, NamedTuple

from consumers.indicators.bars import Bar
from cryptostream.indicator_files.engines import Values

Compute = Callable[[Sequence[Bar]], Iterable[Values]]

# The first cut leaves the 28 bars that `ta` needs.
_FIRST_CUT: Final = 30
# More than any default looks back, so that whatever looks as far ahead meets bars that are not its own.
_OTHER_BARS: Final = 100


class LookAhead(NamedTuple):
    """A column that uses later bars: how many of its rows change with them, and between which (from 0)."""

    column: str
    rows: int
    first: int
    last: int


def cuts(count: int) -> list[int]:
    """After how many bars the series is cut: each time twice as many, and before its last bar."""
    places = []
    place = _FIRST_CUT
    while place < count - 1:
        places.append(place)
        place *= 2
    return [*places, count - 1] if count > _FIRST_CUT else []


def check_look_ahead(compute: Compute, columns: Sequence[str], bars: Sequence[Bar]) -> list[LookAhead]:
    """Columns whose values up to a cut are not, bit for bit, those of the whole series; none is good.

    Args:
        compute: a series' values, a row a bar.
        bars: more than 30, or there is no place to cut.
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
                    for place, column in enumerate(columns):
                        if found[8 * place : 8 * place + 8] != expected[8 * place : 8 * place + 8]:
                            changed[column].add(number)
    return [LookAhead(column, len(rows), min(rows), max(rows)) for column, rows in changed.items() if rows]


def _bits(layout: struct.Struct, values: Values) -> bytes:
    # One NaN is as good as another.
    return layout.pack(*[nan if value != value else value for value in values])  # noqa: PLR0124


def _other_bars(last: Bar) -> list[Bar]:
    """Bars as different as can be from any that might follow: a thousandfold and a thousandth in turn."""
    bars = []
    for number in range(1, _OTHER_BARS + 1):
        factor = 1000.0 if number % 2 else 0.001
        low = max(last.close, 1e-8) * factor
        bars.append(Bar(last.open_time_ms + number, low * 1.5, low * 4.0, low, low * 3.0, factor))
    return bars
