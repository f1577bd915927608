"""Trades by their ids, what a sequence of them does, and a REST that answers it."""

from __future__ import annotations

from typing import Any

from producers.effects import FillTrades, LedgerEvent, ProveTrades, Publish
from producers.exchanges.rest_port import PAGE
from producers.missing_ids import DELAYS_S, PATIENCE_S
from producers.start_positions import FoundRange
from producers.trade_sequence import TradeSequence
from shared.trade_ids import number
from tests.builders import NOW_MS, trade


def stream(trade_id: int) -> Any:
    return trade(trade_id=trade_id, trade_time_ms=NOW_MS + trade_id)


def row(trade_id: int) -> Any:
    return trade(trade_id=trade_id, trade_time_ms=NOW_MS + trade_id, source="backfill", event_time_ms=None)


def published(effects: Any) -> list[int]:
    return [effect.message["trade_id"] for effect in effects if isinstance(effect, Publish)]


def fills(effects: Any) -> list[tuple[int, int]]:
    return [(effect.first, effect.last) for effect in effects if isinstance(effect, FillTrades)]


def events(effects: Any) -> list[tuple[str, int, int]]:
    return [(effect.kind, effect.first, effect.last) for effect in effects if isinstance(effect, LedgerEvent)]


class Rest:
    """Answers a sequence as time goes by; every question of it is answered at once.

    Args:
        has: ids that it gives; None while it refuses to answer.
        issued, never: what aggTrades prove.
    """

    def __init__(self, sequence: TradeSequence, *, issued: Any = (), never: Any = ()) -> None:
        self.sequence = sequence
        self.has: set[int] | None = set()
        self.issued, self.never = issued, never
        self.oldest = 0
        self.now_s = 0.0
        self.asked: list[tuple[float, int, int]] = []

    def answer(self, effects: Any) -> list[Any]:
        """All that follows from these effects now."""
        out: list[Any] = []
        pending = list(effects)
        while pending:
            effect = pending.pop(0)
            out.append(effect)
            if isinstance(effect, FillTrades):
                self.asked.append((self.now_s, effect.first, effect.last))
                rows = None if self.has is None else self._rows(effect.first, effect.last)
                pending += self.sequence.receive_rows(
                    effect.first, effect.last, rows, self.now_s, self.oldest
                )
            elif isinstance(effect, ProveTrades):
                pending += self.sequence.receive_proof(effect, self.issued, self.never, self.now_s)
        return out

    def _rows(self, first: int, last: int) -> list[Any]:
        assert self.has is not None
        return [row(number) for number in range(first, min(last, first + PAGE - 1) + 1) if number in self.has]

    def until(self, now_s: float) -> list[Any]:
        """Second after second, or longer steps where time is long."""
        out: list[Any] = []
        while self.now_s < now_s:
            self.now_s += 1.0 if self.now_s < 100 else 60.0
            out += self.answer(self.sequence.retry(self.now_s))
        return out


LATER = FoundRange(105, 110, NOW_MS + 105, NOW_MS + 110)


def span(epoch: int, first: int, last: int) -> FoundRange:
    return FoundRange(number(epoch, first), number(epoch, last), NOW_MS, NOW_MS)


def details(effects: Any) -> list[tuple[str, str | None]]:
    return [(effect.kind, effect.detail) for effect in effects if isinstance(effect, LedgerEvent)]


def exhausted(sequence: TradeSequence, effects: Any, **proofs: Any) -> list[Any]:
    """All that follows from a hole that REST never fills, over a day and a bit."""
    rest = Rest(sequence, **proofs)
    return rest.answer(effects) + rest.until(PATIENCE_S + 2 * DELAYS_S[-1])
