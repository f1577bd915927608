"""What the stream gave beside holes: it proves that REST counts trades as the stream does. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import Final, NamedTuple

from shared.messages import TradeMessage
from shared.trade_ids import EPOCH_SPAN

# Of one symbol, some 600 bytes each; two a hole.
_MOST: Final = 2_000


class Known(NamedTuple):
    """The nearest trades on both sides of a hole.

    Attributes:
        held: as the stream gave them.
        marks: ids and times of those of an earlier process.
    """

    held: tuple[TradeMessage, ...]
    marks: tuple[tuple[int, int], ...]


class HeldTrades:
    """Trades that have another neighbour than the id before or after, and the newest one; by number."""

    def __init__(self) -> None:
        self._newest: tuple[int, TradeMessage] | None = None
        self._held: dict[int, TradeMessage] = {}
        self._marks: dict[int, int] = {}
        self._numbers: list[int] = []  # of both, ascending

    def mark(self, number: int, time_ms: int) -> None:
        """A trade that an earlier process has published."""
        if time_ms and number not in self._marks:
            self._marks[number] = time_ms
            self._enter(number)

    def note(self, number: int, trade: TradeMessage) -> None:
        """A trade that the stream has given now."""
        newest, self._newest = self._newest, (number, trade)
        if newest is not None and number == newest[0] + 1:
            return
        for each, message in (newest, (number, trade)) if newest is not None else ((number, trade),):
            if each not in self._held:
                self._held[each] = message
                self._enter(each)

    def beside(self, first: int, last: int) -> Known:
        """What is known beside the numbers `first` to `last`, of the same numbering of the exchange."""
        trades, numbers = self._held, self._numbers
        if self._newest is not None:
            trades = {**trades, self._newest[0]: self._newest[1]}
            numbers = sorted({*numbers, self._newest[0]})
        below, above = bisect_left(numbers, first), bisect_right(numbers, last)
        nearest = {*numbers[max(0, below - 1) : below], *numbers[above : above + 1]}
        found = {number for number in nearest if number // EPOCH_SPAN == first // EPOCH_SPAN}
        held = {number: trades[number] for number in found if number in trades}
        marks = {number: self._marks[number] for number in found - held.keys()}
        base = first - first % EPOCH_SPAN
        return Known(
            tuple(held[number] for number in sorted(held)),
            tuple((number - base, marks[number]) for number in sorted(marks)),
        )

    def _enter(self, number: int) -> None:
        if number in self._numbers[bisect_left(self._numbers, number) :][:1]:
            return
        insort(self._numbers, number)
        if len(self._numbers) > _MOST:
            # The lowest belong to the oldest holes.
            gone = self._numbers.pop(0)
            self._held.pop(gone, None)
            self._marks.pop(gone, None)
