"""Two connections that carry the same streams, merged by sequence while one takes over from the other. Pure.

Source of the rules: BINANCE_SPOT.md §13 (traps 2, 3 and 26: two connections differ in timing, never in ids),
§16 (new connection first, overlap, dedupe by id, then drop the old).
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from producers.exchanges.binance.parse import StreamMessage
from shared.intervals import interval_ms

# Symbol, kind, and for bars the interval.
StreamId = tuple[str, str, str | None]

# A stream of which the old connection says nothing for so long is quiet, or dead there: the next one has it.
GRACE_S: Final = 10.0
# Messages that wait for the other connection, all streams together: 20 s at 2,000 a second, about 60 MB.
HELD_MESSAGES: Final = 40_000


# Ids rise with time, up to what two servers may differ.
_DISORDER_MS: Final = 1_000


class Side(enum.Enum):
    """One of the two connections."""

    OLD = "old"
    NEXT = "next"


class _Span(NamedTuple):
    """Which part of its stream a message is.

    Attributes:
        first: what must have gone on before is `first - 1`.
        last: where the stream stands after it; equal for the copies of both connections.

        time_ms: of its event; 0 where that tells nothing. What comes later with lower ids is of a numbering
            that has begun anew.
    """

    first: int
    last: tuple[int, int]
    time_ms: int = 0


def _span(stream: StreamId, message: Any) -> _Span:
    """Trades and diffs are counted by their ids, bars by two steps each, open and closed.

    Of quotes only the newest counts: none has to follow on the one before.
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
            # An open bar has many updates, told apart by their time; its final comes once, whatever its time.
            return _Span(step, (step + 1, 0) if message["closed"] else (step, message["event_time_ms"] or 0))
        case _:
            return _Span(0, (message["update_id"], 0))


class _Join:
    """One stream: what its source brings goes on; the other connection's goes on where it follows directly.

    Attributes:
        source: the old connection, until what the next one brings follows on it without a hole.
        held: what the other one brought that does not follow yet.
        quiet: the source has said nothing for the grace.
    """

    def __init__(self, stream: StreamId, *, silent: bool) -> None:
        self._stream = stream
        # Of quotes only the newest counts, and of a stream silent on the old connection nothing will come.
        self._patient = not silent and stream[1] != "quote"
        self.source = Side.OLD
        self.held: deque[tuple[_Span, StreamMessage]] = deque()
        self.quiet = False
        self._position: tuple[int, int] | None = None  # the farthest that has gone on
        self._position_ms = 0  # its time
        self._floor: tuple[int, int] | None = None  # what the other one has brought of it; None: left behind
        self._spoke = False
        self._quiet_since_s: float | None = None

    @property
    def settled(self) -> bool:
        """The source has gone beyond all that the other one brought, or has nothing to say."""
        return self._floor is None or self.quiet

    def receive(self, side: Side, message: StreamMessage) -> list[StreamMessage]:
        """Take a message; what goes on now."""
        span = _span(self._stream, message.message)
        lower = self._position is not None and span.last < self._position
        if lower and span.time_ms > self._position_ms + _DISORDER_MS:
            # Ids begin anew: where the old ones stood says nothing of these.
            self._position = self._floor = None
        if side is self.source:
            return self._receive_of_source(span, message)
        if self.source is Side.OLD and (self._follows(span) or not self._patient):
            return [*self.change_source(), *self._receive_of_source(span, message)]
        self.held.append((span, message))
        return self._catch_up()

    def _receive_of_source(self, span: _Span, message: StreamMessage) -> list[StreamMessage]:
        self._spoke = True
        if self._floor is not None:
            if span.last <= self._floor:
                return []
            self._floor = None
        passed: list[StreamMessage] = []
        if self.held and not self._follows(span):
            # The source has left something out; the other one may have brought it.
            passed = [held for its, held in self.held if its.last[0] < span.first]
        if self._position is None or span.last > self._position:
            self._position, self._position_ms = span.last, span.time_ms
        return [*passed, message, *self._catch_up()]

    def _catch_up(self) -> list[StreamMessage]:
        """What was held and follows now."""
        passed: list[StreamMessage] = []
        while self.held and self._follows(self.held[0][0]):
            if self.source is Side.OLD:
                return passed + self.change_source()
            span, message = self.held.popleft()
            if self._position is None or span.last > self._position:
                self._position = self._floor = span.last
                self._position_ms = span.time_ms
                passed.append(message)
        return passed

    def _follows(self, span: _Span) -> bool:
        """There is no hole before it."""
        return self._position is not None and span.first <= self._position[0] + 1

    def change_source(self) -> list[StreamMessage]:
        """From now on the other connection is the source; what of it has waited."""
        self.source = Side.NEXT if self.source is Side.OLD else Side.OLD
        beyond = [
            (span, message)
            for span, message in self.held
            if self._position is None or span.last > self._position
        ]
        self.held.clear()
        self._quiet_since_s, self.quiet = None, False
        if not beyond:
            # It may be behind, and repeat what the other one has brought.
            self._floor = self._position
            return []
        self._floor = None
        farthest = max((span for span, _ in beyond), key=lambda span: span.last)
        self._position, self._position_ms = farthest.last, farthest.time_ms
        return [message for _, message in beyond]

    def tick(self, now_s: float) -> None:
        """Notice whether the source is quiet."""
        if self._spoke or self._quiet_since_s is None:
            self._quiet_since_s, self._spoke = now_s, False
        self.quiet = now_s - self._quiet_since_s >= GRACE_S


class Overlap:
    """Passes every message of two connections on once and in order, whichever brings it.

    A stream has two sources while both connections live. The old one's messages go on as they come, until
    what the next one brings follows on them without a hole; then it is the other way round. What does not
    follow is held until it does, or until its connection is the only one left. Create it before the next
    connection is opened: it does not know what went on before.

    Args:
        streams: all that the connections carry.
        silent: streams that the old connection has stopped carrying; the next one is not held back in them.
    """

    def __init__(self, streams: Iterable[StreamId], silent: Iterable[StreamId] = ()) -> None:
        silent = frozenset(silent)
        self._joins = {stream: _Join(stream, silent=stream in silent) for stream in streams}
        self._proven = False  # the next connection has brought a message
        self._ended: set[Side] = set()
        self._held = 0

    @property
    def taken_over(self) -> bool:
        """The next connection is the source of all streams."""
        return all(join.source is Side.NEXT for join in self._joins.values())

    @property
    def settled(self) -> bool:
        """One connection is left and repeats nothing any more: the merge has nothing to do."""
        return bool(self._ended) and all(join.settled for join in self._joins.values())

    @property
    def held(self) -> int:
        """Messages that wait."""
        return self._held

    @property
    def behind(self) -> list[StreamId]:
        """Streams of which the old connection is still the source."""
        return [stream for stream, join in self._joins.items() if join.source is Side.OLD]

    def receive(self, side: Side, stream: StreamId, message: StreamMessage) -> list[StreamMessage]:
        """Take a message of one connection; what goes on now."""
        join = self._joins.get(stream)
        if join is None:
            return []
        if side is Side.NEXT:
            self._proven = True
        before = len(join.held)
        passed = join.receive(side, message)
        self._held += len(join.held) - before
        if self._held > HELD_MESSAGES:
            passed += self._shed(join)
        return passed

    def ended(self, side: Side) -> list[StreamMessage]:
        """A connection has ended and all it brought was received; what goes on now.

        The other is the source of all streams. A hole between them is real, and the cores find it.
        """
        self._ended.add(side)
        released: list[StreamMessage] = []
        for join in self._joins.values():
            if join.source is side:
                released += join.change_source()
            join.held.clear()
        self._held = 0
        return released

    def tick(self, now_s: float) -> list[StreamMessage]:
        """Let streams go over of which the old connection is quiet; call it some times a second.

        Args:
            now_s: of a clock that only goes forward.
        """
        if not self._proven:
            return []
        released: list[StreamMessage] = []
        for join in self._joins.values():
            join.tick(now_s)
            if join.source is Side.OLD and join.quiet and not self._ended:
                self._held -= len(join.held)
                released += join.change_source()
        return released

    def _shed(self, join: _Join) -> list[StreamMessage]:
        """The bound is reached: the old connection is too far behind, or what it brings is only spare."""
        self._held -= len(join.held)
        if join.source is Side.OLD:
            return join.change_source()
        join.held.clear()
        return []
