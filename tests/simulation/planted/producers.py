"""Bugs of producers."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from producers.effects import Effect, FillKlines, FillTrades, Publish
from producers.exchanges.frame_types import StreamMessage
from producers.instrument import Instrument
from producers.overlap import StreamMerge
from producers.progress import Progress, ProgressLog
from producers.read_back import ReadBack, Windows
from producers.repairs import Repairs, Request
from producers.topic_ends import TopicEnds
from producers.trade_sequence import TradeSequence
from shared.messages import TradeMessage
from shared.topics import TRADES


def repair_off() -> None:
    """Missing bars and trades are not asked for."""
    start = Repairs.start

    def changed(self: Repairs, instrument: Instrument, request: Request) -> None:
        if not isinstance(request, FillTrades | FillKlines):
            start(self, instrument, request)

    Repairs.start = changed  # type: ignore[method-assign]


def dedupe_off() -> None:
    """A known trade is published again."""
    take = TradeSequence._take

    def changed(self: TradeSequence, trade: TradeMessage) -> list[Effect]:
        number = trade["trade_id"] + self._base
        if self._last is not None and number <= self._last and number not in self._missing:
            return [Publish(TRADES, trade)]
        return take(self, trade)

    TradeSequence._take = changed  # type: ignore[method-assign]


def holes_from_a_stale_copy() -> None:
    """The missing trades are copied before a request, and written back with its answer: a lost update."""
    fill, receive_rows = TradeSequence._fill, TradeSequence.receive_rows
    copies: dict[TradeSequence, Any] = {}

    def filling(self: TradeSequence, *arguments: Any) -> list[Effect]:
        effects = fill(self, *arguments)
        if effects:
            copies[self] = deepcopy(self._missing)
        return effects

    def receiving(self: TradeSequence, *arguments: Any, **named: Any) -> list[Effect]:
        self._missing = copies.pop(self, self._missing)
        return receive_rows(self, *arguments, **named)

    TradeSequence._fill = filling  # type: ignore[assignment, method-assign]
    TradeSequence.receive_rows = receiving  # type: ignore[method-assign]


def progress_from_a_stale_copy() -> None:
    """What was staged is written back over what has been delivered since: a lost update."""
    commit = ProgressLog.commit

    def changed(self: ProgressLog) -> dict[str, Progress]:
        due = commit(self)
        self._reached |= self._staged
        return due

    ProgressLog.commit = changed  # type: ignore[method-assign]


def expired_slot_kept() -> None:
    """A refused request for trades keeps its slot, so that none follows."""
    receive_rows = TradeSequence.receive_rows

    def changed(self: TradeSequence, first: int, last: int, rows: Any, *others: Any, **named: Any) -> Any:
        return [] if rows is None else receive_rows(self, first, last, rows, *others, **named)

    TradeSequence.receive_rows = changed  # type: ignore[method-assign]


def rollover_drops_a_frame() -> None:
    """The first held trade is lost when the next connection takes over."""
    change_source = StreamMerge.change_source

    def changed(self: StreamMerge) -> list[StreamMessage]:
        passed: Sequence[StreamMessage] = change_source(self)
        return list(passed[1:] if self._stream[1] == "trade" else passed)

    StreamMerge.change_source = changed  # type: ignore[method-assign]


def nothing_read_back() -> None:
    """A start does not read back what has to be audited."""

    def changed(self: TopicEnds, exchange: str, windows: Windows) -> dict[str, ReadBack]:
        return {}

    TopicEnds.read_back = changed  # type: ignore[method-assign]
