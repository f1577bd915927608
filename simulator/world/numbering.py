"""Numberings: ids of trades and of the book that begin again at 1, while times go on.

As after a reset of a test exchange, or where a symbol is listed anew: what had ids of an earlier numbering is
in no list of trades any more; bars stay.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from simulator.world.book import slot_at, update_id
from simulator.world.trade_tape import TradeTape

_NONE: Final = 0


def numbering_at(restarts_ms: Sequence[int], time_ms: int) -> int:
    """How often a numbering has begun anew up to a time; restarts ascending."""
    return bisect_right(restarts_ms, time_ms)


class TradeNumbering:
    """Between the tape's own ids, which rise for ever, and those that are shown.

    Args:
        restarts_ms: when the numbering begins anew, ascending.
    """

    def __init__(self, tape: TradeTape, restarts_ms: Sequence[int] = ()) -> None:
        self._restarts_ms = tuple(restarts_ms)
        # The last tape id of the numbering before each.
        self._before = tuple(tape.id_after(restart_ms - 1) - 1 for restart_ms in restarts_ms)

    def shown(self, tape_id: int) -> int:
        """The id that a trade has for clients; ids below 0 mean that there is none."""
        index = bisect_right(self._before, tape_id - 1)
        return tape_id - self._before[index - 1] if index else tape_id

    def shift(self, now_ms: int) -> int:
        """What a shown id lies below the tape's, of the numbering in force at a time."""
        index = numbering_at(self._restarts_ms, now_ms)
        return self._before[index - 1] if index else _NONE


class UpdateNumbering:
    """The same for the update ids of a book."""

    def __init__(self, restarts_ms: Sequence[int] = ()) -> None:
        self._before = tuple(update_id(slot_at(restart_ms - 1)) for restart_ms in restarts_ms)

    def shown(self, raw_id: int) -> int:
        index = bisect_right(self._before, raw_id - 1)
        return raw_id - self._before[index - 1] if index else raw_id

    def span(self, first_id: int, last_id: int) -> tuple[int, int]:
        """The first and last id of a diff; one with changes of both numberings is the new one's first."""
        crossed = bisect_right(self._before, first_id - 1) != bisect_right(self._before, last_id - 1)
        return 1 if crossed else self.shown(first_id), self.shown(last_id)
