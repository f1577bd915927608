"""How a consumer reads its assigned partitions ahead, and what a pause or a seek does to what it has read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, OFFSET_INVALID, KafkaError

from tests.simulation.kafka.broker import Fetch, Fetched
from tests.simulation.kafka.link import RETRY_S, Link
from tests.simulation.kafka.log import Refused
from tests.simulation.kafka.messages import At, Message, error_of

_RESETS: Final = {
    "earliest": OFFSET_BEGINNING,
    "beginning": OFFSET_BEGINNING,
    "smallest": OFFSET_BEGINNING,
    "latest": OFFSET_END,
    "end": OFFSET_END,
    "largest": OFFSET_END,
    "error": None,
}
# Records of one answer; more come with the next one.
_ANSWER: Final = 2_000


class Part:
    """An assigned partition.

    Attributes:
        start: where to begin, an offset or one of the library's names for one.
        stopped: its next record is gone; only a seek or another assignment goes on.
        position: the offset after the last record that the application got.
        fetch: of the next record to ask for; None while its start is asked for, or reading has stopped.
        epoch: of the record before `fetch`. led: the leader's epoch as far as we know.
        version: raised by all that makes records useless which were read ahead.
    """

    __slots__ = (
        "at",
        "eof_at",
        "epoch",
        "fetch",
        "high",
        "led",
        "low",
        "paused",
        "position",
        "queued",
        "start",
        "stopped",
        "version",
        "waiting",
    )

    def __init__(self, at: At, start: int) -> None:
        self.at = at
        self.start = start
        self.position: int | None = None
        self.fetch: int | None = None
        self.epoch: int | None = None
        self.led: int | None = None
        self.version = 0
        self.paused = False
        self.stopped = False
        self.waiting = False
        self.queued = 0
        self.low = self.high = OFFSET_INVALID
        self.eof_at: int | None = None


class _Chunk:
    """Records of one answer that the application has not got yet."""

    __slots__ = ("next", "part", "records", "version")

    def __init__(self, part: Part, records: Sequence[Message]) -> None:
        self.part = part
        self.version = part.version
        self.records = records
        self.next = 0


class Fetching:
    """Reads assigned partitions ahead.

    Args:
        committed: asks for the group's offset of a partition; the answer is a mapping, or Refused.

    Attributes:
        queued: number of records, errors and ends of partitions that wait for the application.
    """

    def __init__(
        self, link: Link, config: Mapping[str, Any], committed: Callable[[At], Mapping[At, Any]]
    ) -> None:
        self._link = link
        self._world = link.world
        self._broker = link.broker
        self._committed = committed
        self._reset = _RESETS[str(config.get("auto.offset.reset", "largest"))]
        self._eof = bool(config.get("enable.partition.eof", False))
        self._ahead = int(config.get("queued.min.messages", 100_000))
        self._wait_s = config.get("fetch.wait.max.ms", 500) / 1000
        self._suspended = False
        self._paused: set[At] = set()  # also while they are not assigned
        self._chunks: deque[_Chunk] = deque()
        self.parts: dict[At, Part] = {}
        self.queued = 0

    # -- the assignment ----------------------------------------------------------------------------------

    def add(self, at: At, start: int) -> None:
        part = self.parts[at] = Part(at, start)
        part.paused = at in self._paused
        self._begin(part)

    def remove(self, at: At) -> None:
        self._outdate(self.parts.pop(at))

    def pause(self, at: At) -> None:
        part = self.parts.get(at)
        if part is not None and not part.paused:
            self._outdate(part)
            part.paused = True
            self._paused.add(at)

    def resume(self, at: At) -> None:
        part = self.parts.get(at)
        if part is not None and part.paused:
            self._paused.remove(at)
            part.paused = False
            self._begin(part)

    def seek(self, part: Part, offset: int) -> None:
        self._outdate(part)
        part.position, part.start, part.fetch, part.epoch, part.stopped = None, offset, None, None, False
        self._begin(part)

    def suspend(self) -> None:
        """Read nothing until the application has answered a rebalance."""
        self._suspended = True
        for part in self.parts.values():
            self._outdate(part)

    def go_on(self) -> None:
        self._suspended = False
        self.wake()

    def wake(self) -> None:
        """Ask for records of all partitions that may be read."""
        for part in self.parts.values():
            self._begin(part)

    def disconnected(self) -> None:
        for part in self.parts.values():
            part.waiting = False

    def _outdate(self, part: Part) -> None:
        """What was read ahead will be read again, from where the application is."""
        part.version += 1
        self.queued -= part.queued
        part.queued, part.waiting, part.eof_at = 0, False, None
        part.fetch = part.position
        self._broker.log(part.at).waiting.pop(part, None)

    # -- where to begin ----------------------------------------------------------------------------------

    def _begin(self, part: Part) -> None:
        """Read on, once it is known from where."""
        if part.stopped:
            return
        if part.fetch is None and part.start >= 0:
            part.fetch = part.start
        if part.fetch is not None:
            self._ask(part)
        elif self._may(part):
            part.waiting = True
            asked = partial(self._resolved, part, part.version)
            if part.start in (OFFSET_BEGINNING, OFFSET_END):
                self._link.ask(partial(self._broker.led, part.at), asked)
            else:
                self._link.ask(lambda: self._committed(part.at), asked)

    def _may(self, part: Part) -> bool:
        return not (part.waiting or part.paused or self._suspended or not self._link.connected)

    def _resolved(self, part: Part, version: int, answer: Any) -> None:
        if part.version != version:
            return
        part.waiting = False
        if isinstance(answer, Refused):
            self._later(part)
        elif part.start in (OFFSET_BEGINNING, OFFSET_END):
            part.fetch = answer.start if part.start == OFFSET_BEGINNING else answer.end
            self._ask(part)
        elif part.at in answer:
            part.fetch = answer[part.at].offset
            self._ask(part)
        else:
            self._go_astray(
                part, KafkaError._NO_OFFSET, OFFSET_INVALID, "no previously committed offset available"
            )

    def _go_astray(self, part: Part, code: int, offset: int, what: str) -> None:
        """There is no such offset: begin anew where the settings say, or stop with an error."""
        if self._reset is not None:
            part.fetch, part.start, part.epoch = None, self._reset, None
            self._begin(part)
            return
        text = f"{what}: {KafkaError(code).str()}"
        error = error_of(KafkaError._AUTO_OFFSET_RESET, text)
        part.fetch = None
        part.stopped = True
        self._put(part, [Message(part.at, offset, None, None, error=error)])

    # -- records -----------------------------------------------------------------------------------------

    def _ask(self, part: Part) -> None:
        if not self._may(part) or part.fetch is None or part.queued >= self._ahead:
            return
        part.waiting = True
        # An answer without records is needed once, to learn the end of the partition.
        wait_s = (
            self._wait_s if part.high != part.fetch or (self._eof and part.eof_at != part.fetch) else -1.0
        )
        request = Fetch(part.at, part.fetch, part.epoch, part.led, _ANSWER, wait_s)
        self._link.send(
            lambda reply: self._broker.fetch(request, part, reply),
            partial(self._fetched, part, part.version),
        )

    def _later(self, part: Part) -> None:
        def again(version: int = part.version) -> None:
            if part.version == version and self._link.alive:
                self._begin(part)

        self._world.later(RETRY_S, again)

    def _fetched(self, part: Part, version: int, answer: Fetched | Refused) -> None:
        if part.version != version:
            return
        part.waiting = False
        if isinstance(answer, Refused):
            self._later(part)
            return
        records, part.low, part.high, led, fault = answer
        part.led = led
        if fault is not None:
            at = part.fetch if part.fetch is not None else OFFSET_INVALID
            truncated = fault == KafkaError._LOG_TRUNCATION
            what = (
                "partition log truncated"
                if truncated
                else "fetch failed due to requested offset not available"
            )
            self._go_astray(part, fault, at, what)
            return
        if records:
            last = records[-1]
            part.fetch, part.epoch = (last.offset() or 0) + 1, last.leader_epoch()
            self._put(part, records)
        elif self._eof and part.fetch == part.high != part.eof_at:
            part.eof_at = part.high
            self._put(
                part, [Message(part.at, part.high, None, None, error=KafkaError(KafkaError._PARTITION_EOF))]
            )
        self._ask(part)

    def _put(self, part: Part, records: Sequence[Message]) -> None:
        self._chunks.append(_Chunk(part, records))
        part.queued += len(records)
        self.queued += len(records)

    def take(self, at_most: int) -> Iterable[Message]:
        """Up to so many records in the order in which they came, and errors among them."""
        taken: list[Message] = []
        chunks = self._chunks
        while chunks and len(taken) < at_most:
            chunk = chunks[0]
            part = chunk.part
            if chunk.version != part.version:
                chunks.popleft()
                continue
            records = chunk.records[chunk.next : chunk.next + at_most - len(taken)]
            chunk.next += len(records)
            if chunk.next >= len(chunk.records):
                chunks.popleft()
            part.queued -= len(records)
            self.queued -= len(records)
            taken += records
            last = records[-1]
            if last.error() is None:
                part.position = (last.offset() or 0) + 1
            if part.queued < self._ahead:
                self._ask(part)
        return taken
