"""Merges two connections with the same streams by sequence, while one takes over from the other. Pure.

Source of the rules: BINANCE_SPOT.md §13 (traps 2, 3 and 26: two connections differ in timing, never in ids),
§16 (new connection first, overlap, dedupe by id, then drop the old).
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from producers.exchanges.frame_types import StreamMessage
from shared.intervals import interval_ms

# Symbol, kind, and for bars the interval.
StreamId = tuple[str, str, str | None]

# A stream without messages on the old connection for so long is quiet or dead there: the next one takes over.
GRACE_S: Final = 10.0
# Messages held for the other connection, of all streams: 20 s at 2,000 a second, about 60 MB.
HELD_MESSAGES: Final = 40_000
# Ids rise with time, but for the difference between two servers.
_DISORDER_MS: Final = 1_000


class Side(enum.Enum):
    """One of the two connections."""

    OLD = "old"
    NEXT = "next"


class _Span(NamedTuple):
    """The part of its stream that a message covers.

    Attributes:
        first: it follows on `first - 1`.
        last: position of the stream after it; equal for the copies of both connections.
        time_ms: of its event; 0 if it does not matter. A later event with lower ids is of a new numbering.
    """

    first: int
    last: tuple[int, int]
    time_ms: int = 0


def _span(stream: StreamId, message: Any) -> _Span:
    """Trades and diffs go by their ids, bars by two steps each: open and closed.

    Of quotes only the newest counts: none has to follow on another.
    """
    _, kind, interval = stream
    match kind:
        case "trade":
            return _Span(message["trade_id"], (message["trade_id"], 0), message["trade_time_ms"])
        case "depth":
            last, time_ms = (message["final_update_id"], 0), message["event_time_ms"] or 0
            return _Span(message["first_update_id"], last, time_ms)
        case "kline":
            step = 2 * (message["open_time_ms"] // interval_ms(interval or ""))
            # Updates of an open bar differ by their time; its final comes once, whatever its time.
            return _Span(step, (step + 1, 0) if message["closed"] else (step, message["event_time_ms"] or 0))
        case _:
            return _Span(0, (message["update_id"], 0))


class StreamMerge:
    """One stream: messages of its source pass; those of the other connection pass if they follow directly.

    Attributes:
        source: the old connection, until messages of the next one follow on it without a hole.
        held: messages of the other connection that do not follow yet.
        quiet: the source has brought nothing for the grace period.
    """

    def __init__(self, stream: StreamId, *, silent: bool) -> None:
        self._stream = stream
        # Of quotes only the newest counts, and of a stream silent on the old connection nothing will come.
        self._patient = not silent and stream[1] != "quote"
        self.source = Side.OLD
        self.held: deque[tuple[_Span, StreamMessage]] = deque()
        self.quiet = False
        self._position: tuple[int, int] | None = None  # the highest that was passed on
        self._position_ms = 0  # its time
        self._dedupe_until: tuple[int, int] | None = None  # position of the other one; None: exceeded
        self._spoke = False
        self._quiet_since_s: float | None = None

    @property
    def settled(self) -> bool:
        """The source has passed everything that the other one brought, or is quiet."""
        return self._dedupe_until is None or self.quiet

    def receive(self, side: Side, message: StreamMessage) -> list[StreamMessage]:
        """Take a message; the messages to pass on now."""
        span = _span(self._stream, message.message)
        lower = self._position is not None and span.last < self._position
        if lower and span.time_ms > self._position_ms + _DISORDER_MS:
            # Ids begin anew: the old position does not apply.
            self._position = self._dedupe_until = None
        if side is self.source:
            return self._receive_of_source(span, message)
        if self.source is Side.OLD and (self._follows(span) or not self._patient):
            return [*self.change_source(), *self._receive_of_source(span, message)]
        self.held.append((span, message))
        return self._catch_up()

    def _receive_of_source(self, span: _Span, message: StreamMessage) -> list[StreamMessage]:
        self._spoke = True
        if self._dedupe_until is not None:
            if span.last <= self._dedupe_until:
                return []
            self._dedupe_until = None
        passed: list[StreamMessage] = []
        if self.held and not self._follows(span):
            # The source has a hole; the other one may have brought it.
            passed = [held for its, held in self.held if its.last[0] < span.first]
        if self._position is None or span.last > self._position:
            self._position, self._position_ms = span.last, span.time_ms
        return [*passed, message, *self._catch_up()]

    def _catch_up(self) -> list[StreamMessage]:
        """Held messages that follow now."""
        passed: list[StreamMessage] = []
        while self.held and self._follows(self.held[0][0]):
            if self.source is Side.OLD:
                return passed + self.change_source()
            span, message = self.held.popleft()
            if self._position is None or span.last > self._position:
                self._position = self._dedupe_until = span.last
                self._position_ms = span.time_ms
                passed.append(message)
        return passed

    def _follows(self, span: _Span) -> bool:
        """Whether there is no hole before it."""
        return self._position is not None and span.first <= self._position[0] + 1

    def change_source(self) -> list[StreamMessage]:
        """Make the other connection the source; its held messages."""
        self.source = Side.NEXT if self.source is Side.OLD else Side.OLD
        beyond = [
            (span, message)
            for span, message in self.held
            if self._position is None or span.last > self._position
        ]
        self.held.clear()
        self._quiet_since_s, self.quiet = None, False
        if not beyond:
            # It may be behind, and repeat messages of the other one.
            self._dedupe_until = self._position
            return []
        self._dedupe_until = None
        farthest = max((span for span, _ in beyond), key=lambda span: span.last)
        self._position, self._position_ms = farthest.last, farthest.time_ms
        return [message for _, message in beyond]

    def tick(self, now_s: float) -> None:
        """Check whether the source is quiet."""
        if self._spoke or self._quiet_since_s is None:
            self._quiet_since_s, self._spoke = now_s, False
        self.quiet = now_s - self._quiet_since_s >= GRACE_S


class Overlap:
    """Passes every message of two connections on once and in order.

    The old connection's messages pass as they come, until messages of the next one follow on them without a
    hole; from then on those of the next one pass. Messages that do not follow are held until they do, or
    until their connection is the only one left. Create it before the next connection is opened: it does not
    know what was passed on before.

    Args:
        streams: all that the connections carry.
        silent: streams that the old connection no longer carries; the next one is not held back in them.
    """

    def __init__(self, streams: Iterable[StreamId], silent: Iterable[StreamId] = ()) -> None:
        silent = frozenset(silent)
        self._merges = {stream: StreamMerge(stream, silent=stream in silent) for stream in streams}
        self._proven = False  # the next connection has brought a message
        self._ended: set[Side] = set()
        self._held = 0

    @property
    def taken_over(self) -> bool:
        """The next connection is the source of all streams."""
        return all(merge.source is Side.NEXT for merge in self._merges.values())

    @property
    def settled(self) -> bool:
        """One connection is left and no longer repeats messages: the merge has nothing to do."""
        return bool(self._ended) and all(merge.settled for merge in self._merges.values())

    @property
    def held(self) -> int:
        """Number of messages held."""
        return self._held

    @property
    def behind(self) -> list[StreamId]:
        """Streams of which the old connection is still the source."""
        return [stream for stream, merge in self._merges.items() if merge.source is Side.OLD]

    def receive(self, side: Side, stream: StreamId, message: StreamMessage) -> list[StreamMessage]:
        """Take a message of one connection; the messages to pass on now."""
        merge = self._merges.get(stream)
        if merge is None:
            return []
        if side is Side.NEXT:
            self._proven = True
        before = len(merge.held)
        passed = merge.receive(side, message)
        self._held += len(merge.held) - before
        if self._held > HELD_MESSAGES:
            passed += self._shed(merge)
        return passed

    def ended(self, side: Side) -> list[StreamMessage]:
        """A connection has ended and all its messages were received; the messages to pass on now.

        The other becomes the source of all streams. A hole between them is real, and the cores find it.
        """
        self._ended.add(side)
        released: list[StreamMessage] = []
        for merge in self._merges.values():
            if merge.source is side:
                released += merge.change_source()
            merge.held.clear()
        self._held = 0
        return released

    def tick(self, now_s: float) -> list[StreamMessage]:
        """Let the next connection take over streams that are quiet on the old one; call it often.

        Args:
            now_s: of a monotonic clock.
        """
        if not self._proven:
            return []
        released: list[StreamMessage] = []
        for merge in self._merges.values():
            merge.tick(now_s)
            if merge.source is Side.OLD and merge.quiet and not self._ended:
                self._held -= len(merge.held)
                released += merge.change_source()
        return released

    def _shed(self, merge: StreamMerge) -> list[StreamMessage]:
        """The bound is reached: the old connection is too far behind, or its messages are only spare."""
        self._held -= len(merge.held)
        if merge.source is Side.OLD:
            return merge.change_source()
        merge.held.clear()
        return []
