"""The one way to Kafka: idempotent, with back-pressure, and every delivery error judged in one place."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producers.letters import Letters
from shared.dead_letters import DeadLetter
from shared.errors import BrokerError, BrokerUnavailable
from shared.kafka import LIBRDKAFKA_LOG, Verdict, cause, producer_config, verdict
from shared.messages import to_keep

_LOG = logging.getLogger(__name__)

# Called with partition and offset when the broker has the record.
Delivered = Callable[[int, int], None]

_START_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.02
_FLUSH_SLICE_S: Final = 0.1
# Dead letters may take so long beyond all else; a service does not wait for one that cannot be written.
_LETTERS_S: Final = 3.0


class Publisher:
    """Hands records to librdkafka; use from one thread.

    `send` never blocks: when the queue is full, records wait in order and `congested` is true. The caller
    must then await `room` before it takes the next frame, so that at most one frame's records wait here.

    Args:
        queue_messages: how many records librdkafka's queue takes; None for what `producer_config` says.
    """

    def __init__(
        self, bootstrap_servers: str, *, memory_broker: bool = False, queue_messages: int | None = None
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._memory_broker = memory_broker
        config = producer_config(bootstrap_servers, "cryptostream-producer", memory_broker=memory_broker)
        if queue_messages is not None:
            config["queue.buffering.max.messages"] = queue_messages
        self.queue_messages: int = config["queue.buffering.max.messages"]
        # A record that is given up ends the producer at once, whether anyone follows it or not: a report of
        # each delivery would tell the same, at a tenth of the cost of a message.
        config |= {"enable.gapless.guarantee": True, "error_cb": self._judge}
        self._producer = Producer(config, logger=LIBRDKAFKA_LOG)
        self._overflow: deque[tuple[str, bytes, bytes | None, Delivered | None]] = deque()
        self._congested_since_s: float | None = None
        self.letters = Letters(bootstrap_servers, lambda: self.delivered, memory_broker=memory_broker)
        self.failure: BrokerError | None = None
        self.sent = 0
        self.retriable_errors = 0

    @property
    def congested(self) -> bool:
        return bool(self._overflow) or self.letters.congested

    @property
    def congested_s(self) -> float:
        """For how long no record at all has found room, in seconds."""
        return 0.0 if self._congested_since_s is None else time.monotonic() - self._congested_since_s

    @property
    def outstanding(self) -> int:
        """Records that the broker has not acknowledged yet; dead letters are not counted here."""
        return len(self._producer) + len(self._overflow)

    @property
    def delivered(self) -> int:
        """Records that it has."""
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
            if self._congested_since_s is None:
                self._congested_since_s = time.monotonic()
            self._overflow.append((topic, key, None if value is None else to_keep(value), delivered))

    def put_aside(self, letter: DeadLetter) -> None:
        """Queue a dead letter; it never raises, and what becomes of it is no failure of this publisher."""
        self.letters.send(letter)

    def _produce(self, topic: str, key: bytes, value: bytes | None, delivered: Delivered | None) -> bool:
        try:
            if delivered is None:
                self._producer.produce(topic, value, key)
            else:
                self._producer.produce(topic, value, key, on_delivery=self._report_to(delivered))
        except BufferError:
            return False
        except KafkaException as error:
            # A record too large, or a producer that has failed for good.
            self._judge(cause(error))
            self.sent -= 1
        return True

    def poll(self) -> None:
        """Take delivery reports and move what waits.

        Raises:
            BrokerError: a delivery failed in a way that nothing here can mend.
        """
        self._serve(self._producer.poll, 0.0)
        while self._overflow and self._produce(*self._overflow[0]):
            self._overflow.popleft()
            self._congested_since_s = time.monotonic() if self._overflow else None
        self.letters.poll()
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
        letters_deadline = time.monotonic() + _LETTERS_S
        while self.letters.outstanding and time.monotonic() < letters_deadline:
            self._serve(self._producer.poll, _POLL_S)
            self.poll()

    async def room(self) -> None:
        """Wait until nothing waits outside librdkafka's queues; meanwhile the socket is not read."""
        self.poll()
        while self.congested:
            await asyncio.sleep(_POLL_S)
            self.poll()

    async def flush(self, timeout_s: float) -> int:
        """Wait until everything is delivered, at most `timeout_s`; how many records are not.

        Dead letters that are not are only said: what is left of them is lost with the process.
        """
        deadline = time.monotonic() + timeout_s
        self.poll()
        while self.outstanding and time.monotonic() < deadline:
            await asyncio.to_thread(self._serve, self._producer.flush, _FLUSH_SLICE_S)
            self.poll()
        deadline = min(deadline, time.monotonic() + _LETTERS_S)
        while self.letters.outstanding and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
            self.poll()
        if left := self.letters.outstanding:
            _LOG.warning("%d dead letters were not taken by %s in time", left, self._bootstrap_servers)
        return self.outstanding

    def _serve(self, call: Callable[[float], int], timeout_s: float) -> None:
        """Let librdkafka call back; a fatal error is raised by whichever call comes next."""
        try:
            call(timeout_s)
        except KafkaException as error:
            self._judge(cause(error))

    @staticmethod
    def _report_to(delivered: Delivered) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, record: Message) -> None:
            partition, offset = record.partition(), record.offset()
            if error is None and partition is not None and offset is not None:
                delivered(partition, offset)

        return report

    def _judge(self, error: KafkaError) -> None:
        """Client errors: librdkafka goes on by itself after all but the fatal ones.

        Those end the process, retriable or not: going on would leave a hole that nobody repairs, a restart
        repairs it.
        """
        if verdict(error) is Verdict.FATAL:
            if self.failure is None:
                self.failure = BrokerError(
                    f"Kafka at {self._bootstrap_servers}: the producer cannot go on: {error.str()}; "
                    "see `cryptostream topics`"
                )
            return
        if not self.retriable_errors:
            _LOG.warning("Kafka: %s; librdkafka goes on trying", error.str())
        self.retriable_errors += 1
