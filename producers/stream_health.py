"""Which streams of one symbol are not carried, since when and why, and the ledger's entries of it. Pure.

A stream is not carried when another source proves that the exchange has data which the stream did not bring
(`producers.silence_probe`). Silence alone is no proof: a market may be quiet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from shared.messages import CARRIED_AGAIN
from shared.models import LedgerStream

# Kind of stream, as in `shared.message_checks.CHECKS`, and the interval of bars.
StreamKey = tuple[str, str | None]

TRADE: Final[StreamKey] = ("trade", None)
DEPTH: Final[StreamKey] = ("depth", None)
QUOTE: Final[StreamKey] = ("quote", None)

LEDGER_STREAMS: Final[dict[str, LedgerStream]] = {
    "kline": "klines",
    "trade": "trades",
    "depth": "depth",
    "quote": "quotes",
}
_ENTERED_EVERY_S: Final = 60.0


class Uncarried(NamedTuple):
    """A stream that is not carried.

    Attributes:
        since_ms: the exchange's clock at its last message, or at the first subscription.
    """

    stream: StreamKey
    since_ms: int
    why: str

    def __str__(self) -> str:
        kind, interval = self.stream
        return f"{LEDGER_STREAMS[kind]} {interval}" if interval else LEDGER_STREAMS[kind]


class Entry(NamedTuple):
    """A ledger entry: the stream is not carried from `since_ms` to `until_ms`."""

    stream: StreamKey
    since_ms: int
    until_ms: int
    detail: str

    @property
    def over(self) -> bool:
        """The stream is carried again."""
        return self.detail.endswith(CARRIED_AGAIN)


@dataclass(slots=True)
class _Stream:
    heard_s: float
    heard_ms: int
    uncarried: Uncarried | None = None
    entered_s: float = 0.0


class StreamHealth:
    """All streams of a symbol; times in seconds of a monotonic clock, and in ms of the exchange's.

    Args:
        before: what an earlier process entered last: what it proved holds until the stream is carried here,
            and an end that the ledger may lack is entered again.
    """

    def __init__(
        self, streams: Iterable[StreamKey], now_s: float, now_ms: int, before: Iterable[Entry] = ()
    ) -> None:
        self._streams = {stream: _Stream(now_s, now_ms) for stream in streams}
        self._entries: list[Entry] = []
        for entry in before:
            of = self._streams.get(entry.stream)
            if entry.over:
                self._entries.append(entry)
            elif of is not None:
                of.uncarried, of.entered_s = Uncarried(entry.stream, entry.since_ms, entry.detail), now_s

    @property
    def uncarried(self) -> list[Uncarried]:
        """The streams that are not carried now."""
        return [stream.uncarried for stream in self._streams.values() if stream.uncarried is not None]

    def is_uncarried(self, stream: StreamKey) -> bool:
        return self._streams[stream].uncarried is not None

    def silence_s(self, stream: StreamKey, now_s: float) -> float:
        """Seconds since the last message of a stream."""
        return now_s - self._streams[stream].heard_s

    def heard_ms(self, stream: StreamKey) -> int:
        return self._streams[stream].heard_ms

    def heard(self, stream: StreamKey, now_s: float, now_ms: int) -> None:
        """The stream has brought a message since the last call."""
        of = self._streams[stream]
        of.heard_s, of.heard_ms = now_s, now_ms
        if of.uncarried is not None:
            self._enter(of.uncarried, now_ms, of.uncarried.why + CARRIED_AGAIN)
            of.uncarried = None

    def trust(self, stream: StreamKey, now_ms: int, because: str) -> None:
        """The proof against a stream no longer holds, although no message has come."""
        of = self._streams[stream]
        if of.uncarried is not None:
            self._enter(of.uncarried, now_ms, f"{of.uncarried.why}; {because}{CARRIED_AGAIN}")
            of.uncarried, of.heard_ms = None, now_ms

    def prove(self, stream: StreamKey, now_s: float, now_ms: int, why: str) -> bool:
        """The stream is not carried; whether that is new."""
        of = self._streams[stream]
        if of.uncarried is not None:
            return False
        of.uncarried = Uncarried(stream, of.heard_ms, why)
        of.entered_s = now_s
        self._enter(of.uncarried, now_ms, why)
        return True

    def tick(self, now_s: float, now_ms: int) -> None:
        """Enter streams that are not carried again once a minute."""
        for of in self._streams.values():
            if of.uncarried is not None and now_s - of.entered_s >= _ENTERED_EVERY_S:
                of.entered_s = now_s
                self._enter(of.uncarried, now_ms, of.uncarried.why)

    def conclude(self, now_ms: int) -> None:
        """The streams have ended: enter those that are not carried, up to the end."""
        for uncarried in self.uncarried:
            self._enter(uncarried, now_ms, uncarried.why)

    def take_entries(self) -> list[Entry]:
        """Entries since the last call."""
        entries, self._entries = self._entries, []
        return entries

    def _enter(self, uncarried: Uncarried, now_ms: int, detail: str) -> None:
        until_ms = max(uncarried.since_ms, now_ms)
        self._entries.append(Entry(uncarried.stream, uncarried.since_ms, until_ms, detail))
