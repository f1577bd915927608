"""Numberings: ids of trades and of the book that begin again at 1.

As after a reset of a test exchange, or when a symbol is listed again: trades of an earlier numbering are no
longer in lists of trades; bars stay.
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
    """Converts between the tape's ids, which always rise, and the ids shown to clients.

    Args:
        restarts_ms: when the numbering begins anew, ascending.
    """

    def __init__(self, tape: TradeTape, restarts_ms: Sequence[int] = ()) -> None:
        self._restarts_ms = tuple(restarts_ms)
        # The last tape id of the numbering before each.
        self._before = tuple(tape.id_after(restart_ms - 1) - 1 for restart_ms in restarts_ms)

    def shown(self, tape_id: int) -> int:
        """The id shown to clients; ids below 0 mean that there is no trade."""
        index = bisect_right(self._before, tape_id - 1)
        return tape_id - self._before[index - 1] if index else tape_id

    def next_restart(self, tape_id: int) -> int | None:
        """The tape's id of the next trade after this one that is shown as 1; None if there is none."""
        index = bisect_right(self._before, tape_id - 1)
        return self._before[index] + 1 if index < len(self._before) else None

    def shift(self, now_ms: int) -> int:
        """Difference between the tape's ids and those shown, in the numbering of a time."""
        index = numbering_at(self._restarts_ms, now_ms)
        return self._before[index - 1] if index else _NONE


class UpdateNumbering:
    """The same for the update ids of a book, which rise with the slots."""

    def __init__(self, restarts_ms: Sequence[int] = ()) -> None:
        self._before = tuple(update_id(slot_at(restart_ms - 1)) for restart_ms in restarts_ms)

    def shown(self, raw_id: int) -> int:
        index = bisect_right(self._before, raw_id - 1)
        return raw_id - self._before[index - 1] if index else raw_id

    def span(self, first_id: int, last_id: int) -> tuple[int, int]:
        """First and last id of a diff; one with changes of both numberings is the first of the new one."""
        crossed = bisect_right(self._before, first_id - 1) != bisect_right(self._before, last_id - 1)
        return 1 if crossed else self.shown(first_id), self.shown(last_id)
