"""How a producer's records travel: batches in order, several in flight, retried without end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError

from tests.simulation.kafka.broker import Broker
from tests.simulation.kafka.link import RETRY_S, Link
from tests.simulation.kafka.log import BATCH_BYTES, Entry, Origin, Refused
from tests.simulation.kafka.messages import RETRIABLE, At, Message

Report = Callable[[KafkaError | None, Message], None] | None
# Records with their reports; an error, or the records as the broker has them.
Done = Callable[[At, Iterable[Entry], Iterable[Report], KafkaError | None, Iterable[Message] | None], None]

# librdkafka's defaults.
_IN_FLIGHT: Final = 5
_BATCH_RECORDS: Final = 10_000
_BATCH_BYTES: Final = 1_000_000


@dataclass(slots=True, eq=False)
class _Batch:
    entries: list[Entry]
    reports: list[Report]
    origin: Origin | None
    attempt: int = 0  # number of the try that is in flight; 0: none is


@dataclass(slots=True, eq=False)
class _Queue:
    """What one partition has not acknowledged: batches in order, of which the first are in flight."""

    at: At
    open: _Batch | None = None  # gathers records until it is sent
    batches: deque[_Batch] = field(default_factory=deque)
    sequence: int = 0
    retry_s: float = 0.0  # nothing is sent before
    bytes: int = 0  # of the open batch


class Sending:
    """The batches of one producer.

    Args:
        done: takes records that were delivered, or never will be.
        failed: takes a fatal error, its code and text: this producer can never be used again.
    """

    def __init__(
        self, broker: Broker, config: Mapping[str, Any], done: Done, failed: Callable[[int, str], None]
    ) -> None:
        self._world = broker.world
        self._broker = broker
        self._done = done
        self._failed = failed
        self._idempotent = bool(config.get("enable.idempotence", False))
        self._gapless = bool(config.get("enable.gapless.guarantee", False))
        self._linger_s = config.get("linger.ms", 5) / 1000
        self._batch_records = int(config.get("batch.num.messages", _BATCH_RECORDS))
        self._id: int | None = None
        self._queues: dict[At, _Queue] = {}
        self._in_flight = 0
        self._attempts = 0
        self._lingering = False
        self._ripe = False  # open batches are to be sent
        self._draining = False  # nothing is sent until nothing is in flight
        self._ended = False
        self.link = Link(broker, self._connected, self._disconnected)

    def add(self, at: At, entry: Entry, size: int, report: Report) -> None:
        """Send a record, after it has waited a moment for others."""
        queue = self._queues.get(at)
        if queue is None:
            queue = self._queues[at] = _Queue(at)
        batch = queue.open
        if batch is None:
            batch = queue.open = _Batch([], [], None)
            queue.bytes = BATCH_BYTES
        batch.entries.append(entry)
        batch.reports.append(report)
        queue.bytes += size
        if len(batch.entries) >= self._batch_records or queue.bytes >= _BATCH_BYTES:
            self._close(queue)
            self._send()
        elif not self._lingering:
            self._lingering = True
            self._world.later(self._linger_s, self._linger_ended)

    def hurry(self) -> None:
        """Wait for no more records."""
        self._ripe = True
        self._send()

    def _close(self, queue: _Queue) -> None:
        """The open batch takes no more records."""
        batch = queue.open
        assert batch is not None
        queue.open = None
        queue.batches.append(batch)

    def _linger_ended(self) -> None:
        self._lingering = False
        self.hurry()

    def _send(self) -> None:
        """Send batches in order, as many as may be in flight; while none may, the open ones grow."""
        link = self.link
        if not link.connected or not link.alive or self._ended or self._draining:
            return
        now_s = self._world.now_s()
        ripe = self._ripe and self._in_flight < _IN_FLIGHT
        for queue in self._queues.values():
            if ripe and queue.open is not None:
                self._close(queue)
            if queue.retry_s > now_s:
                continue
            for batch in queue.batches:
                if self._in_flight >= _IN_FLIGHT:
                    break
                if not batch.attempt:
                    self._send_batch(queue, batch)
        if ripe:
            self._ripe = False

    def _send_batch(self, queue: _Queue, batch: _Batch) -> None:
        if self._id is not None and batch.origin is None:
            batch.origin = Origin(self._id, queue.sequence)
            queue.sequence += len(batch.entries)
        self._attempts += 1
        batch.attempt = self._attempts
        self._in_flight += 1
        work = partial(self._broker.produce, queue.at, batch.entries, batch.origin)
        self.link.ask(work, partial(self._answered, queue, batch, batch.attempt))

    def _answered(
        self, queue: _Queue, batch: _Batch, attempt: int, answer: Sequence[Message] | Refused
    ) -> None:
        self._in_flight -= 1
        if batch.attempt == attempt and not self._ended:
            if isinstance(answer, Refused):
                self._refused(queue, batch, answer.code)
            else:
                queue.batches.remove(batch)
                self._done(queue.at, batch.entries, batch.reports, None, answer)
        if self._draining and not self._in_flight:
            self._renumber()
        self._send()

    def _refused(self, queue: _Queue, batch: _Batch, code: int) -> None:
        where = f"ProduceRequest for {queue.at[0]} [{queue.at[1]}] failed"
        if code in RETRIABLE:
            self._again(queue)
        elif code == KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER:
            if batch is queue.batches[0] and not self._draining:
                # The broker has lost acknowledged records of ours: nothing can be said of what follows.
                self._fail(code, f"{where} due to sequence desynchronization")
            else:
                self._again(queue)
        else:
            queue.batches.remove(batch)
            self._done(queue.at, batch.entries, batch.reports, KafkaError(code), None)
            if self._idempotent and self._gapless:
                self._fail(KafkaError._GAPLESS_GUARANTEE, f"{where}: {KafkaError(code).str()}")
            elif self._idempotent:
                self._draining = True

    def _again(self, queue: _Queue) -> None:
        """Send all unacknowledged batches of a partition again, in order, after a moment."""
        for batch in queue.batches:
            batch.attempt = 0
        queue.retry_s = self._world.now_s() + RETRY_S * self._world.random.uniform(0.8, 1.2)
        self._world.later(queue.retry_s - self._world.now_s(), self._send)

    def _renumber(self) -> None:
        """A batch was refused for good: the rest gets a new id, and with it new sequence numbers."""
        self._draining = False
        self._id = self._broker.new_producer()
        for queue in self._queues.values():
            queue.sequence = 0
            for batch in queue.batches:
                batch.origin = None
                batch.attempt = 0

    def _fail(self, code: int, text: str) -> None:
        """End with a fatal error; what was not delivered is dropped."""
        self._ended = True
        self._failed(code, text)
        purged = KafkaError(KafkaError._PURGE_QUEUE)
        for queue in self._queues.values():
            for batch in (*queue.batches, *filter(None, (queue.open,))):
                self._done(queue.at, batch.entries, batch.reports, purged, None)
            queue.batches.clear()
            queue.open = None

    # -- the connection ----------------------------------------------------------------------------------

    def _connected(self) -> None:
        if self._idempotent and self._id is None:
            self._id = self._broker.new_producer()
        self._send()

    def _disconnected(self) -> None:
        self._in_flight = 0
        if self._draining:
            self._renumber()
        for queue in self._queues.values():
            for batch in queue.batches:
                batch.attempt = 0
