"""Which streams of one symbol are not carried, since when and why; the ledger is told while it lasts. Pure.

A stream is not carried when the exchange has what it has not brought: that is proved by another source
(`producers.lookout`), never by silence alone, since a market may be quiet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from shared.messages import CARRIED_AGAIN

# Kind of stream, as in `shared.messages.CHECKS`, and for bars the interval.
StreamKey = tuple[str, str | None]

TRADE: Final[StreamKey] = ("trade", None)
DEPTH: Final[StreamKey] = ("depth", None)
QUOTE: Final[StreamKey] = ("quote", None)

LEDGER_STREAMS: Final = {"kline": "klines", "trade": "trades", "depth": "depth", "quote": "quotes"}
_ENTERED_EVERY_S: Final = 60.0


class Uncarried(NamedTuple):
    """A stream that the exchange has and that does not come.

    Attributes:
        since_ms: the exchange's clock when it was last heard, or first listened to.
    """

    stream: StreamKey
    since_ms: int
    why: str

    def __str__(self) -> str:
        kind, interval = self.stream
        return f"{LEDGER_STREAMS[kind]} {interval}" if interval else LEDGER_STREAMS[kind]


class Entry(NamedTuple):
    """What the ledger is to say of a stream: not carried from `since_ms` to `until_ms`."""

    stream: StreamKey
    since_ms: int
    until_ms: int
    detail: str


@dataclass(slots=True)
class _Stream:
    heard_s: float
    heard_ms: int
    uncarried: Uncarried | None = None
    entered_s: float = 0.0


class Carriage:
    """Times in seconds of a clock that only goes forward, and in ms of the exchange's.

    Args:
        streams: all of the symbol.
    """

    def __init__(self, streams: Iterable[StreamKey], now_s: float, now_ms: int) -> None:
        self._streams = {stream: _Stream(now_s, now_ms) for stream in streams}
        self._entries: list[Entry] = []

    @property
    def uncarried(self) -> list[Uncarried]:
        """The streams that are not carried now."""
        return [stream.uncarried for stream in self._streams.values() if stream.uncarried is not None]

    def is_uncarried(self, stream: StreamKey) -> bool:
        return self._streams[stream].uncarried is not None

    def silence_s(self, stream: StreamKey, now_s: float) -> float:
        """For how long nothing of a stream has come."""
        return now_s - self._streams[stream].heard_s

    def heard_ms(self, stream: StreamKey) -> int:
        return self._streams[stream].heard_ms

    def heard(self, stream: StreamKey, now_s: float, now_ms: int) -> None:
        """Something of it has come since the last look."""
        of = self._streams[stream]
        of.heard_s, of.heard_ms = now_s, now_ms
        if of.uncarried is not None:
            self._enter(of.uncarried, now_ms, of.uncarried.why + CARRIED_AGAIN)
            of.uncarried = None

    def trust(self, stream: StreamKey, now_ms: int, because: str) -> None:
        """Nothing speaks against a stream any more, though nothing of it has come."""
        of = self._streams[stream]
        if of.uncarried is not None:
            self._enter(of.uncarried, now_ms, f"{of.uncarried.why}; {because}{CARRIED_AGAIN}")
            of.uncarried, of.heard_ms = None, now_ms

    def prove(self, stream: StreamKey, now_s: float, now_ms: int, why: str) -> bool:
        """The exchange has what the stream has not brought; whether that is news."""
        of = self._streams[stream]
        if of.uncarried is not None:
            return False
        of.uncarried = Uncarried(stream, of.heard_ms, why)
        of.entered_s = now_s
        self._enter(of.uncarried, now_ms, why)
        return True

    def tick(self, now_s: float, now_ms: int) -> None:
        """Once a minute the ledger is told again."""
        for of in self._streams.values():
            if of.uncarried is not None and now_s - of.entered_s >= _ENTERED_EVERY_S:
                of.entered_s = now_s
                self._enter(of.uncarried, now_ms, of.uncarried.why)

    def conclude(self, now_ms: int) -> None:
        """Nothing more will come: what is not carried now is not at the end."""
        for uncarried in self.uncarried:
            self._enter(uncarried, now_ms, uncarried.why)

    def take_entries(self) -> list[Entry]:
        """What is to be entered since the last call."""
        entries, self._entries = self._entries, []
        return entries

    def _enter(self, uncarried: Uncarried, now_ms: int, detail: str) -> None:
        until_ms = max(uncarried.since_ms, now_ms)
        self._entries.append(Entry(uncarried.stream, uncarried.since_ms, until_ms, detail))
