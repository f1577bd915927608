"""Sends records to Kafka: idempotent, with backpressure, and every delivery error classified in one place."""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections import deque
from collections.abc import Callable, Sized
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message

from producers.dead_letters import DeadLetterProducer
from shared.dead_letters import DeadLetter
from shared.errors import BrokerError, BrokerUnavailable
from shared.kafka import KAFKA, KafkaClients, cause, is_fatal, producer_config
from shared.messages import to_keep

_LOG = logging.getLogger(__name__)

# Called with partition and offset when the broker has the record.
Delivered = Callable[[int, int], None]

_START_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.02
_FLUSH_SLICE_S: Final = 0.1
# A flush waits this much longer for dead letters, but not for ones that cannot be written.
_DEAD_LETTERS_S: Final = 3.0
# Each delivered batch frees room: with a broker that is only slow, the queue is not full for this long.
FULL_FOR_S: Final = 2.0
# Before the exchange is read again the queue drains to this part of it: room for the backfill.
LOW_WATER: Final = 0.1

REASON: Final = "Kafka accepts no records"


class Publisher:
    """Hands records to librdkafka; use from one thread.

    `send` never blocks: when the queue is full, records wait in order and `congested` is true. The caller
    must then await `room` before it takes the next frame, so that at most one frame's records wait here.

    Args:
        queue_messages: bound of librdkafka's queue; None for that of `producer_config`.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        memory_broker: bool = False,
        queue_messages: int | None = None,
        kafka: KafkaClients = KAFKA,
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._memory_broker = memory_broker
        config = producer_config(bootstrap_servers, "cryptostream-producer", memory_broker=memory_broker)
        if queue_messages is not None:
            config["queue.buffering.max.messages"] = queue_messages
        self.queue_messages: int = config["queue.buffering.max.messages"]
        # A lost record ends the producer, followed or not; a delivery report for each record would show the
        # same, at a tenth of the cost of a message.
        config |= {"enable.gapless.guarantee": True, "error_cb": self._on_error}
        self._producer = kafka.producer(config)
        self._overflow: deque[tuple[str, bytes, bytes | None, Delivered | None]] = deque()
        self._congested_since_s: float | None = None
        self._flushing = False  # in another thread, which takes the reports: they keep their order
        self.dead_letters = DeadLetterProducer(
            bootstrap_servers, lambda: self.delivered, memory_broker=memory_broker, kafka=kafka
        )
        self.failure: BrokerError | None = None
        self.sent = 0
        self.retriable_errors = 0
        # Called with each error, in its order with the delivery reports: those that follow are of after it.
        self.doubt: Callable[[], None] = lambda: None

    @property
    def held_back(self) -> tuple[Sized, Sized]:
        """The records and the dead letters that wait for room, now and later: for loops that look often."""
        return self._overflow, self.dead_letters.held_back

    @property
    def congested(self) -> bool:
        return any(self.held_back)

    @property
    def congested_s(self) -> float:
        """Seconds since any record found room in the queue."""
        return 0.0 if self._congested_since_s is None else time.monotonic() - self._congested_since_s

    @property
    def outstanding(self) -> int:
        """Number of records that the broker has not acknowledged yet, without dead letters."""
        return len(self._producer) + len(self._overflow)

    @property
    def delivered(self) -> int:
        """Number of records that the broker has acknowledged."""
        return self.sent - self.outstanding

    def start(self, topics: frozenset[str]) -> None:
        """Make sure that the broker answers and has the topics.

        Raises:
            BrokerUnavailable: no answer within 10 s.
            BrokerError: a topic is missing.
        """
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                known = self._producer.list_topics(timeout=max(1.0, deadline - time.monotonic())).topics
                break
            except KafkaException as error:
                if time.monotonic() >= deadline:
                    raise BrokerUnavailable(
                        f'KAFKA_BOOTSTRAP_SERVERS: no broker answers at "{self._bootstrap_servers}" '
                        f"({cause(error).str()}); start one or correct the address"
                    ) from None
        if self._memory_broker:
            return
        missing = sorted(topic for topic in topics if topic not in known)
        if missing:
            raise BrokerError(
                f"topic {missing[0]} does not exist on {self._bootstrap_servers}"
                f"{f' ({len(missing) - 1} more are missing)' if len(missing) > 1 else ''};"
                " create the topics with: cryptostream topics"
            )

    def send(self, topic: str, key: bytes, value: bytes | None, delivered: Delivered | None = None) -> None:
        """Queue one record; `delivered` is called, from `poll`, when the broker has it."""
        self.sent += 1
        if self._overflow or not self._produce(topic, key, value, delivered):
            self._keep(topic, key, value, delivered)

    def sender(self, topic: str, key: bytes) -> Callable[[bytes], None]:
        """`send` of one topic and key, in less time: nearly every record of a busy market."""
        produce, overflow = self._producer.produce, self._overflow

        def send(value: bytes) -> None:
            self.sent += 1
            if overflow:
                self._keep(topic, key, value, None)
                return
            try:
                produce(topic, value, key)
            except BufferError:
                self._keep(topic, key, value, None)
            except KafkaException as error:
                self._refused(error)

        return send

    def _keep(self, topic: str, key: bytes, value: bytes | None, delivered: Delivered | None) -> None:
        """Keep a record until librdkafka's queue has room."""
        if self._congested_since_s is None:
            self._congested_since_s = time.monotonic()
        self._overflow.append((topic, key, None if value is None else to_keep(value), delivered))

    def _refused(self, error: KafkaException) -> None:
        """A record too large, or a producer that has failed for good."""
        self._on_error(cause(error))
        self.sent -= 1

    def send_dead_letter(self, letter: DeadLetter) -> None:
        """Queue a dead letter; it never raises, and its loss is no failure of this publisher."""
        self.dead_letters.send(letter)

    def _produce(self, topic: str, key: bytes, value: bytes | None, delivered: Delivered | None) -> bool:
        try:
            if delivered is None:
                self._producer.produce(topic, value, key)
            else:
                self._producer.produce(topic, value, key, on_delivery=self._report_to(delivered))
        except BufferError:
            return False
        except KafkaException as error:
            self._refused(error)
        return True

    def poll(self) -> None:
        """Take delivery reports and send the records that wait here.

        Raises:
            BrokerError: a delivery failed for good.
        """
        if not self._flushing:
            self._serve(self._producer.poll, 0.0)
        while self._overflow and self._produce(*self._overflow[0]):
            self._overflow.popleft()
            self._congested_since_s = time.monotonic() if self._overflow else None
        self.dead_letters.poll()
        if self.failure is not None:
            raise self.failure

    def flush_now(self, timeout_s: float) -> None:
        """Deliver everything sent so far. Blocking: for the time before the event loop has other work.

        Raises:
            BrokerUnavailable: not delivered within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while self.outstanding:
            if time.monotonic() > deadline:
                raise BrokerUnavailable(
                    f"KAFKA_BOOTSTRAP_SERVERS: {self._bootstrap_servers} has not taken {self.outstanding}"
                    f" records in {timeout_s:.0f} s; see whether the broker is well"
                )
            self._serve(self._producer.poll, _FLUSH_SLICE_S)
            self.poll()
        letters_deadline = time.monotonic() + _DEAD_LETTERS_S
        while self.dead_letters.outstanding and time.monotonic() < letters_deadline:
            self._serve(self._producer.poll, _POLL_S)
            self.poll()

    async def room(self) -> None:
        """Wait until no record waits outside librdkafka's queue; meanwhile the socket is not read."""
        self.poll()
        while self.congested:
            await asyncio.sleep(_POLL_S)
            self.poll()

    async def flush(self, timeout_s: float) -> int:
        """Wait until everything is delivered, at most `timeout_s`; number of undelivered records.

        Undelivered dead letters are only logged: they are lost with the process.
        """
        deadline = time.monotonic() + timeout_s
        self.poll()
        while self.outstanding and time.monotonic() < deadline:
            self._flushing = True
            try:
                await asyncio.to_thread(self._serve, self._producer.flush, _FLUSH_SLICE_S)
            finally:
                self._flushing = False
            self.poll()
        deadline = min(deadline, time.monotonic() + _DEAD_LETTERS_S)
        while self.dead_letters.outstanding and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
            self.poll()
        if left := self.dead_letters.outstanding:
            _LOG.warning("%d dead letters were not delivered to %s in time", left, self._bootstrap_servers)
        return self.outstanding

    def _serve(self, call: Callable[[float], int], timeout_s: float) -> None:
        """Let librdkafka call back; a fatal error is raised by whichever call comes next."""
        try:
            call(timeout_s)
        except KafkaException as error:
            self._on_error(cause(error))

    @staticmethod
    def _report_to(delivered: Delivered) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, record: Message) -> None:
            partition, offset = record.partition(), record.offset()
            if error is None and partition is not None and offset is not None:
                delivered(partition, offset)

        return report

    def _on_error(self, error: KafkaError) -> None:
        """Take a client error: librdkafka retries after all but the fatal ones.

        A fatal one ends the process: going on would leave a hole, which a restart repairs.
        """
        if is_fatal(error):
            if self.failure is None:
                self.failure = BrokerError(
                    f"Kafka at {self._bootstrap_servers}: the producer cannot go on: {error.str()}; "
                    "see `cryptostream topics`"
                )
            return
        if not self.retriable_errors:
            _LOG.warning("Kafka: %s; librdkafka retries", error.str())
        self.retriable_errors += 1
        self.doubt()


class Change(enum.Enum):
    """What to do now."""

    SUSPEND = "suspend"
    RESUME = "resume"


class Backpressure:
    """Decides when to pause the exchange because Kafka accepts nothing, and when to resume. Pure.

    The client's bounded queue absorbs short outages of the broker. When it is full the exchange is no longer
    read: it would cut a socket that is blocked for long, and the data would be old. REST fills the gap later.

    Args:
        queue_messages: bound of the client's queue.

    Attributes:
        active: the exchange is paused.
        entered: how often it has begun.
    """

    def __init__(self, queue_messages: int) -> None:
        self._low_water = int(queue_messages * LOW_WATER)
        self.active = False
        self.entered = 0

    def step(self, congested_s: float, outstanding: int) -> Change | None:
        """Decide by the queue, which has accepted no record for `congested_s`."""
        if not self.active and congested_s >= FULL_FOR_S:
            self.active = True
            self.entered += 1
            return Change.SUSPEND
        if self.active and congested_s == 0.0 and outstanding <= self._low_water:
            self.active = False
            return Change.RESUME
        return None
