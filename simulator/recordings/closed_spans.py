"""When a recorded exchange was closed: where archives of its bars have none. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from shared.intervals import INTERVAL_MS
from simulator.world.calendar import bar_end


def is_beside(interval: str, open_time_ms: int) -> bool:
    """Whether a bar opens where none of its interval should, as in archives of early 2018."""
    # Longer ones open where the exchange says (BINANCE_SPOT.md §9).
    step = INTERVAL_MS.get(interval)
    return step is not None and open_time_ms % step != 0


def closed_spans(
    series: Iterable[tuple[tuple[str, str], Iterable[int]]],
) -> dict[str, list[tuple[int, int]]]:
    """By symbol, first and last millisecond of each stretch between its bars without one on the grid.

    Args:
        series: by (symbol, interval), open times in their order.
    """
    spans: dict[str, list[tuple[int, int]]] = {}
    for (symbol, interval), opens in series:
        for before, after in pairwise(at for at in opens if not is_beside(interval, at)):
            first = bar_end(interval, before)
            if first < after:
                spans.setdefault(symbol, []).append((first, after - 1))
    return {symbol: sorted(of_symbol) for symbol, of_symbol in spans.items()}
