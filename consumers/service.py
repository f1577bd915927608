"""One stream's consumer: the loop Kafka → enricher → store → checkpoint, and the callbacks of its group."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumers.arrival import REMEMBERED, Arrivals, TimeAhead
from consumers.batch_write import BatchWrite, described
from consumers.checkpoint import Checkpoint, GroupOffsets
from consumers.enrich.port import Enriched, Enricher, Record
from consumers.expired_ids import ExpiredIds
from consumers.history import History
from consumers.kafka_writer import KafkaWriter
from consumers.membership import fenced
from consumers.partitions.assigned import Partitions
from consumers.partitions.offsets import end_of
from consumers.stores.port import Store
from consumers.streams import Stream
from consumers.telemetry import Telemetry
from shared.background import Background
from shared.backoff import consumer_backoff
from shared.errors import BrokerError, BrokerUnavailable, CryptoStreamError, InvalidMessage, StoreUnavailable
from shared.kafka import KAFKA, KafkaClients, cause, is_fatal, refused
from shared.last_resort import ended_after

log: Final = logging.getLogger(__name__)

POLL_S: Final = 0.1
# From a batch's first record to its end: what it waits at most for others (docs/decisions/hot-paths.md).
GATHER_S: Final = 0.02
CHECKPOINT_PERIOD_S: Final = 1.0
# How often partitions without records are asked about: one request, and none while all of them have records.
GLANCE_PERIOD_S: Final = 30.0
# A stop takes 10 s at most: a store that is down gets three of them for the pending batch.
STOP_STORE_S: Final = 3.0
DRAIN_S: Final = 5.0
_BROKER_WAS_DOWN: Final = "a broker was down; checking whether it lost records already read"
_MIXED: Final = "records of two assignments came at once; reading them again"
# Far beyond the bounds of a stop: a close that takes longer never ends.
_CLOSE_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Parts:
    """Dependencies of a consumer."""

    stream: Stream
    enricher: Enricher
    consumer: Consumer
    config: dict[str, Any]
    store: Store
    kafka_writer: KafkaWriter
    history: History
    telemetry: Telemetry
    memory_broker: bool = False
    clock: Callable[[], float] = time.time
    upkeep: Callable[[int], None] | None = None  # called after a checkpoint, with the time in ms
    kafka: KafkaClients = KAFKA
    background: Callable[[str], Background] = Background  # makes the worker that writes to the store


class StreamConsumer:
    """Runs until `stop` is set; then finishes its current batch (DESIGN §5.2).

    While one batch is written to the store the next one is read and computed: memory holds two. Offsets are
    committed, and partitions given back, only while no write is pending.
    """

    def __init__(self, parts: Parts, stop: threading.Event, *, drain: bool = False) -> None:
        """Args: drain: at the stop, first read to the present end of the topics."""
        self._parts = parts
        self._stream = parts.stream
        self._enricher = parts.enricher
        self._consumer = parts.consumer
        self._kafka_writer = parts.kafka_writer
        self._telemetry = parts.telemetry
        self._instance_id: str | None = parts.config.get("group.instance.id")
        self._stop = stop
        self._drain = drain
        self._backoff = consumer_backoff()
        self._partitions = Partitions(
            parts.stream,
            parts.enricher,
            parts.consumer,
            parts.config,
            memory_broker=parts.memory_broker,
            newest=parts.kafka_writer.newest,
            dead_letter=parts.kafka_writer.dead_letter,
            kafka=parts.kafka,
        )
        self._positions = self._partitions.positions
        self._arrivals = Arrivals()
        self._carried: list[Message] = []  # read, and not yet in a batch
        self._writer = parts.background(f"{parts.stream.label} writer")
        self._writing: tuple[BatchWrite, Future[None]] | None = None  # the pending write
        self._retrying = False  # the store is being waited for, with records or points in hand
        self._again: str | None = None  # why records that were read are to be read again
        self._begun: set[tuple[str, int]] = set()  # partitions assigned by the last call of librdkafka
        self._closing = False
        self._given_up = False  # the pending batch, since partitions were revoked meanwhile
        self._failure: Exception | None = None  # of a callback
        self._stop_deadline = 0.0
        self._hurried = False  # the store has been tried once more since the stop
        self._next_checkpoint = 0.0
        self._next_glance = time.monotonic() + GLANCE_PERIOD_S
        self._last_error: str | None = None
        self._expired = ExpiredIds()
        self._checkpoint = Checkpoint(
            parts.enricher,
            parts.kafka_writer,
            GroupOffsets(parts.consumer, self._instance_id),
            topic=parts.stream.topic,
            state_topic=parts.stream.state_topic,
            mark=None if parts.memory_broker else self._partitions.mark,
        )

    def run(self) -> None:
        """Consume until told to stop.

        Raises:
            MemberFenced, BrokerUnavailable: a new consumer may join the group, and reads again what this one
                has not committed.
            BrokerError, StoreMisconfigured: this process cannot fix it.
        """
        self._telemetry.health.unready("group", "waiting for the consumer group")
        self._consumer.subscribe(
            list(self._stream.topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        try:
            while not self._stop.is_set():
                self._turn()
            self._wind_up()
        except KafkaException as error:
            raise fenced(cause(error), self._instance_id) or refused(error) from None
        finally:
            # `close` calls `_on_revoke`: after an error nothing more may be committed.
            self._partitions.abandon()
            self._closing = True
            log.info("%s: leaving its group", self._stream.label)  # the last line, if closing hangs
            with ended_after(_CLOSE_S):
                self._consumer.close()
            self._writer.close()

    # -- the loop --------------------------------------------------------------------------------------

    def _next_batch(self) -> list[Message]:
        if self._again is not None:
            self._start_over(self._again)
        if not self._carried:
            self._gather()
        batch, self._carried = self._carried, []
        return batch

    def _gather(self) -> None:
        """Wait for one record, then for the rest of its batch, but not long."""
        # `consume` alone returns early only with a full batch. The first record is held where a callback of
        # the second call finds it: its partition may be revoked there, and come back at an earlier position.
        self._carried = self._consume(1, POLL_S)
        if self._carried:
            rest = self._consume(self._stream.batch - 1, GATHER_S)
            self._carried += rest

    def _start_over(self, why: str) -> None:
        """Read again from the newest position that is proved, as after a restart."""
        if not self._write_pending():
            return
        log.warning("%s: %s", self._stream.label, why)
        self._again = None
        self._carried.clear()
        self._partitions.start_over(self._now_ms())

    def _consume(self, at_most: int, timeout_s: float) -> list[Message]:
        """Records, after librdkafka's callbacks; raises the error of a callback."""
        self._begun.clear()
        messages = self._consumer.consume(at_most, timeout_s)
        if self._failure is not None:
            raise self._failure
        if self._begun and self._passes_over(messages):
            self._again = _MIXED
        return messages

    def _passes_over(self, messages: Sequence[Message]) -> bool:
        """Whether a partition assigned meanwhile does not begin where it was assigned.

        A batch may hold records of the assignment before: those that came before them are in no batch, and
        read as they are they would count as read.
        """
        checked: set[tuple[str, int]] = set()
        for message in messages:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            if topic is None or partition is None or offset is None or message.error() is not None:
                continue
            at, begin = (topic, partition), self._positions.get(topic, {}).get(partition, offset)
            if at in self._begun and at not in checked and offset >= begin:
                if offset > begin:
                    return True
                checked.add(at)
        return False

    def _turn(self) -> None:
        # Messages are let go once they are decoded, and all records but a few once their points are made.
        records = self._records(self._next_batch())
        if not self._seeded(records):
            self._read_again()
            return
        now_ms = self._now_ms()
        self._telemetry.consumed(records, now_ms)
        enriched = self._enricher.receive(records, now_ms)
        sample = self._telemetry.sample(records)
        del records
        if not self._write_pending():
            self._read_again()
            return
        self._begin(enriched, sample)
        self._periodically()

    def _read_again(self) -> None:
        """Records were given up: positions and enricher are ahead of the store, of what we still hold too."""
        if not self._given_up:  # else it is for a stop, which commits nothing
            self._carried.clear()
            self._partitions.start_over(self._now_ms())

    def _records(self, messages: Sequence[Message]) -> list[Record]:
        """Decode a batch; records that break their contract go to the dead letters."""
        records: list[Record] = []
        ahead: list[tuple[int, Message, TimeAhead]] = []
        decode, positions = self._enricher.decode, self._positions
        for message in messages:
            if self._again is not None:
                break
            if message.error() is not None:
                if self._partitions.gone(message.error()):
                    self._again = _BROKER_WAS_DOWN
                else:
                    self._check_error(message)
                continue
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            assert topic is not None
            assert partition is not None
            assert offset is not None
            read = positions.get(topic)
            if read is not None:
                # A batch may hold records of an assignment that has ended.
                if offset < read.get(partition, offset + 1):
                    continue
                if not self._partitions.passed(message, topic, partition):
                    self._again = _BROKER_WAS_DOWN
                    continue
                read[partition] = offset + 1
            try:
                value: Any = message.value()
                records.append((partition, offset, decode(topic, value)))
            except TimeAhead as error:
                ahead.append((len(records), message, error))
                records.append((partition, offset, error.message))
            except InvalidMessage as error:
                self._kafka_writer.dead_letter(message, str(error))
        self._refuse_times_ahead(records, ahead)
        return records

    def _refuse_times_ahead(
        self, records: list[Record], ahead: Sequence[tuple[int, Message, TimeAhead]]
    ) -> None:
        """Remove records whose times lie ahead and are not confirmed by others."""
        beyond = {index for index, _, _ in ahead}
        # If no time lies ahead, the newest records are enough.
        sample = range(len(records)) if beyond else range(len(records))[-REMEMBERED:]
        sound = [records[index][2] for index in sample if index not in beyond]
        rejected = self._arrivals.receive(sound, [error for _, _, error in ahead], time.monotonic())
        for index, message, error in reversed(ahead):
            if error in rejected:
                del records[index]
                self._kafka_writer.dead_letter(message, str(error))

    def _check_error(self, message: Message) -> None:
        error = message.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return
        if (lost := fenced(error, self._instance_id)) is not None:
            raise lost
        # On the memory broker a topic exists from its first record on.
        missing = error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)
        if is_fatal(error) and not (missing and self._parts.memory_broker):
            raise BrokerError(f"{self._stream.label}: {error.str()}; see `cryptostream topics`")
        if error.str() != self._last_error:
            self._last_error = error.str()
            log.warning("%s: %s; continuing", self._stream.label, self._last_error)

    def _periodically(self) -> None:
        now = time.monotonic()
        self._telemetry.report(self._consumer, self._positions, self._now_ms())
        # While the store is down nothing can be checkpointed: a later turn does it.
        if now >= self._next_checkpoint and self._finished():
            if self._checkpoint.run(self._positions, self._now_ms()) and self._parts.upkeep is not None:
                self._parts.upkeep(self._now_ms())
            self._next_checkpoint = time.monotonic() + CHECKPOINT_PERIOD_S
        if now >= self._next_glance:
            if self._again is None and self._partitions.missed_outage():
                self._again = _BROKER_WAS_DOWN
            self._next_glance = time.monotonic() + GLANCE_PERIOD_S

    def _wind_up(self) -> None:
        """Store the points that were held back, checkpoint, commit; `close` gives the partitions back."""
        if self._given_up:
            return
        if self._drain:
            self._read_to_end()
        if not self._write_pending():
            return
        self._begin(self._enricher.finish(), [])
        if self._write_pending():
            self._checkpoint.run(self._positions, self._now_ms(), everything=True)
            self._telemetry.report(self._consumer, self._positions, self._now_ms(), now=True)
            self._kafka_writer.flush(1.0)

    def _read_to_end(self) -> None:
        try:
            ends = {
                (topic, partition): end_of(self._consumer, topic, partition)
                for topic, partitions in self._positions.items()
                for partition in partitions
            }
        except BrokerUnavailable as error:
            log.warning("%s: stopping without the last records: %s", self._stream.label, error)
            return
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline and any(
            self._positions[topic].get(partition, end) < end for (topic, partition), end in ends.items()
        ):
            self._turn()

    # -- the store -------------------------------------------------------------------------------------

    def _begin(self, enriched: Enriched, sample: Sequence[Record]) -> None:
        """Begin to write a batch; the previous one must be durable."""
        batch = BatchWrite(self._parts.store, enriched, sample, self._now_ms)
        self._writing = batch, self._writer.submit(batch.run)

    def _finished(self) -> bool:
        """Wait for the pending write; False if the store was unavailable and it is still pending."""
        if self._writing is None:
            return True
        batch, written = self._writing
        if isinstance(written.exception(), StoreUnavailable):
            return False
        self._writing = None
        written.result()
        self._arrived(batch)
        return True

    def _write_pending(self) -> bool:
        """Make the pending batch durable, however long it takes; False if it was given up.

        A batch that was given up is not lost: its offsets are not committed, and it is read again.
        """
        if self._given_up:
            # Partitions were revoked while the store was down.
            self._given_up, self._writing = self._stop.is_set(), None
            return False
        if self._finished():
            return True
        assert self._writing is not None
        (batch, written), self._writing = self._writing, None
        error = written.exception()
        assert isinstance(error, StoreUnavailable)
        arrived = self._try_again(batch.run, error, lambda: f"{batch.left} points")
        if arrived:
            self._arrived(batch)
        return arrived

    def _seeded(self, records: Sequence[Record]) -> bool:
        """Begin new series with what is stored of them, however long it takes; False if it was given up."""
        try:
            self._parts.history.seed(self._enricher, records)
        except StoreUnavailable as error:
            # The batch before goes first: partitions that are taken away meanwhile may have another writer.
            seed = partial(self._parts.history.seed, self._enricher, records)
            return self._write_pending() and self._try_again(seed, error, lambda: f"{len(records)} records")
        return True

    def _try_again(self, run: Callable[[], None], error: StoreUnavailable, left: Callable[[], str]) -> bool:
        """Until the store is back; False if what is `left` in hand must be given up."""
        log.warning("%s: %s; paused, nothing is lost", self._stream.label, error)
        self._telemetry.health.unready("store", f"{error}; paused, nothing is lost")
        self._partitions.pause()
        back, self._retrying = False, True
        try:
            while not back and self._wait(self._backoff.failed(error.retry_after)):
                try:
                    run()
                    back = True
                except StoreUnavailable as again:
                    error = again
        finally:
            self._retrying = False
        # Given up too, it is not waited for any more: if it is still away, the next write says so.
        self._telemetry.health.ready("store")
        if back:
            log.info("%s: the store is back", self._stream.label)
        else:
            log.warning("%s: gave up %s; they will be read again", self._stream.label, left())
        self._partitions.resume()
        return back

    def _arrived(self, batch: BatchWrite) -> None:
        """A batch is durable, except points that can never be stored."""
        self._backoff.succeeded()
        events = batch.enriched.events
        for point, reason in batch.rejected:
            self._kafka_writer.dead_point(self._stream.topic, described(point), reason)
            counted = self._enricher.ledger_id(point)
            if counted is not None:
                events.remove(counted[0], "stored", counted[1])
        for point in batch.expired:
            counted = self._enricher.ledger_id(point)
            if counted is not None:
                events.remove(counted[0], "stored", counted[1])
                self._expired.add(*counted, point.time_ns)
        self._excuse_expired()
        self._checkpoint.events.update(events)
        self._telemetry.stored(batch.sample, batch.stored_ms or self._now_ms())

    def _excuse_expired(self) -> None:
        """Report points too old for the store to the ledger, and a store whose clock is wrong to health."""
        if not self._expired.count:
            return
        self._checkpoint.events.update(self._expired.excused(self._parts.store.oldest_kept_ns))
        left = self._expired.count
        self._telemetry.health.set_ready(
            "expiry",
            not left,
            f"the store refuses {left} points as too old, but by the exchange's time they are not; "
            "set the store's clock right, or let its bucket keep them longer",
        )

    def _wait(self, seconds: float) -> bool:
        """Wait while staying in the group; False if the batch must be given up."""
        until = time.monotonic() + seconds
        # Checked after the last poll too: partitions revoked in it have another writer now, whose newer sums
        # our pending points would overwrite.
        while not self._gives_up():
            left = until - time.monotonic()
            if self._stop.is_set() and not self._hurried:
                left, self._hurried = 0.0, True  # a store that is back by now is used
            if left <= 0:
                return True
            # Records that arrive although partitions are paused were fetched before: for the next batch.
            fetched = self._consume(1, min(left, POLL_S))
            self._carried += fetched  # which a callback of that call may have replaced
            self._telemetry.report(self._consumer, self._positions, self._now_ms())
        self._given_up = self._stop.is_set()
        return False

    def _gives_up(self) -> bool:
        if self._stop.is_set():
            self._stop_deadline = self._stop_deadline or time.monotonic() + STOP_STORE_S
            if time.monotonic() >= self._stop_deadline:
                self._given_up = True
        return self._given_up

    # -- the group -------------------------------------------------------------------------------------

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:  # noqa: ARG002
        # Without a partition too: a surplus replica is a standby.
        self._telemetry.health.ready("group")
        self._begun.update((at.topic, at.partition) for at in partitions)
        with self._kept_failure():
            if self._closing:
                # Given back at once: to restore their state may take longer than a stop has.
                self._partitions.hold(partitions)
            else:
                self._partitions.assign(partitions, self._now_ms())

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:  # noqa: ARG002
        with self._kept_failure():
            if self._retrying or not self._finished():
                # The enricher is ahead of the store: nothing may be committed, the next owner reads again.
                self._given_up = True
            elif any(self._positions.values()) and self._failure is None:
                self._checkpoint.run(self._positions, self._now_ms(), everything=True)
            self._forget(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:  # noqa: ARG002
        self._telemetry.health.unready("group", "the broker has given the partitions to others")
        with self._kept_failure():
            # Another member has them already: our commit could overwrite its newer one.
            self._given_up = self._retrying or not self._finished()
            self._checkpoint.events.clear()
            self._forget(partitions)

    @contextmanager
    def _kept_failure(self) -> Iterator[None]:
        """Keep a callback's error for the loop to raise: librdkafka may run another callback before it passes
        an exception on, and Python cannot run with one pending."""
        try:
            yield
        except CryptoStreamError as failure:
            self._failure = self._failure or failure
        except KafkaException as failure:
            self._failure = self._failure or fenced(cause(failure), self._instance_id) or refused(failure)

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        self._partitions.revoke(partitions)
        self._carried = [at for at in self._carried if self._partitions.holds(at.topic(), at.partition())]
        self._checkpoint.forget(partitions)

    def _now_ms(self) -> int:
        return int(self._parts.clock() * 1000)
