"""Numbered bars of a minute, a sequence of them, and what it does, in numbers."""

from __future__ import annotations

from typing import Any

from producers.effects import FillKlines, LedgerEvent, Publish
from producers.halts import Halts
from producers.kline_sequence import CLOCK_GRACE_MS, KlineSequence
from producers.missing_ids import SOON_S
from tests.builders import NOW_MS, kline

MINUTE = 60_000


def bar(number: int, **fields: Any) -> Any:
    """Bar `number`, counted from the one that is open at NOW_MS."""
    open_time_ms = NOW_MS + number * MINUTE
    values = {
        "open_time_ms": open_time_ms,
        "close_time_ms": open_time_ms + MINUTE - 1,
        "event_time_ms": open_time_ms + MINUTE + 3,
    }
    return kline(**values | fields)


def row(number: int, **fields: Any) -> Any:
    return bar(number, **{"source": "backfill", "event_time_ms": None, **fields})


def begun(warmup_bars: int = 0) -> KlineSequence:
    sequence = KlineSequence("BTCUSDC", "1m", Halts())
    sequence.begin(None, NOW_MS, warmup_bars)
    return sequence


def published(effects: Any) -> list[int]:
    """Numbers of the closed bars published."""
    return [
        (effect.message["open_time_ms"] - NOW_MS) // MINUTE
        for effect in effects
        if isinstance(effect, Publish) and effect.message["closed"]
    ]


def live(effects: Any) -> list[int]:
    return [
        (effect.message["open_time_ms"] - NOW_MS) // MINUTE
        for effect in effects
        if isinstance(effect, Publish) and not effect.message["closed"]
    ]


def fills(effects: Any) -> list[tuple[int, int]]:
    return [
        ((effect.first - NOW_MS) // MINUTE, (effect.last - NOW_MS) // MINUTE)
        for effect in effects
        if isinstance(effect, FillKlines)
    ]


def events(effects: Any) -> list[tuple[str, int, int]]:
    return [
        (effect.kind, (effect.first - NOW_MS) // MINUTE, (effect.last - NOW_MS) // MINUTE)
        for effect in effects
        if isinstance(effect, LedgerEvent)
    ]


def kinds_but_gaps(effects: Any) -> list[tuple[str, int, int]]:
    return [event for event in events(effects) if event[0] not in ("gap", "late")]


def causes(effects: Any) -> list[tuple[str, int, int, str | None]]:
    details = [effect.detail for effect in effects if isinstance(effect, LedgerEvent)]
    return [(*event, detail) for event, detail in zip(events(effects), details, strict=True)]


def answer(sequence: KlineSequence, first: int, last: int, numbers: Any, now_s: float = 0.0) -> Any:
    """REST has these bars; None: it refuses to answer."""
    rows = None if numbers is None else [row(number) for number in numbers]
    return sequence.receive_rows(NOW_MS + first * MINUTE, NOW_MS + last * MINUTE, rows, now_s)


class Rest:
    """Answers a sequence as time goes by.

    Args:
        has: numbers of the bars that it gives; None while it refuses to answer.
    """

    def __init__(self, sequence: KlineSequence, has: Any) -> None:
        self.sequence = sequence
        self.has = has
        self.now_s = 0.0
        self.asked = 0
        self._waiting: list[tuple[float, FillKlines]] = []

    def take(self, effects: Any) -> list[Any]:
        self._waiting += [(self.now_s + e.delay_s, e) for e in effects if isinstance(e, FillKlines)]
        assert len(self._waiting) <= 1, "one request at a time"
        return list(effects)

    def until(self, now_s: float) -> list[Any]:
        """All effects up to then."""
        out: list[Any] = []
        while self.now_s < now_s:
            self.now_s += 1.0 if self.now_s < 300 else 60.0
            out += self.take(self.sequence.retry(self.now_s))
            while self._waiting and self._waiting[0][0] <= self.now_s:
                _, effect = self._waiting.pop()
                self.asked += 1
                # As `Repairs` asks: one bar more.
                rows = self.has and [
                    row(n) for n in self.has if effect.first <= number(n) <= effect.last + MINUTE
                ]
                out += self.take(self.sequence.receive_rows(effect.first, effect.last, rows, self.now_s))
        return out


def number(bar_number: int) -> int:
    return NOW_MS + bar_number * MINUTE


def ids(first: int, last: int) -> dict[str, int]:
    return {"first_trade_id": first, "last_trade_id": last}


def exhausted(
    sequence: KlineSequence, first: int, last: int, numbers: Any = (), beyond: int | None = None
) -> Any:
    """The effects after REST has given these bars and a later one alone, as often as it is asked."""
    has = [*numbers, last + 1 if beyond is None else beyond]
    for _ in range(len(SOON_S) + 1):
        effects = answer(sequence, first, last, has)
    return effects


def at(number: int, after_ms: int = CLOCK_GRACE_MS) -> int:
    """So long after the border before bar `number`."""
    return NOW_MS + number * MINUTE + after_ms
