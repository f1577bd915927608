"""A process of consumers: one thread per stream, watched by the main thread (DESIGN §4.1)."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from consumers.backoff import Backoff
from consumers.enrich.klines import Indicators
from consumers.enrich.ledger import LedgerEnricher
from consumers.enrich.port import Enricher
from consumers.history import History, NoHistory, StoreHistory
from consumers.ledger_pruning import LedgerPruning
from consumers.membership import Rejoining
from consumers.outbox import Outbox
from consumers.partition_counts import misfit
from consumers.service import Parts, StreamConsumer
from consumers.stores.port import Reader, Store
from consumers.streams import Stream, enricher_of
from consumers.telemetry import Telemetry
from shared.errors import BrokerError, BrokerUnavailable, SettingsError, SlotTaken, StoreUnavailable
from shared.health import Health
from shared.interpreter import hand_over_sooner, spare_the_collector
from shared.kafka import LIBRDKAFKA_LOG, consumer_config, producer_config
from shared.metrics import ServiceMetrics
from shared.settings import Settings
from shared.stop_signals import stop_signals
from shared.topics import DEAD_LETTERS, LEDGER, METRICS

log: Final = logging.getLogger(__name__)

BROKER_TIMEOUT_S: Final = 10.0
# A stop lasts 10 s at most (DESIGN §5): the data threads have seven of them, the ledger the rest.
DATA_STOP_S: Final = 7.0
LEDGER_STOP_S: Final = 9.5

StoreOf = Callable[[], Store]
ReaderOf = Callable[[], Reader]


class ConsumerProcess:
    """Runs streams until a signal or the first fatal error.

    Args:
        open_store: called once per thread, or once for all if `one_store` (SQLite has one writer).
        open_reader: called once per thread that rebuilds from the store.
        rebuild_from_store: read the state of unknown series from the store (memory broker only).
    """

    def __init__(
        self,
        settings: Settings,
        streams: Sequence[Stream],
        *,
        indicators: Indicators,
        open_store: StoreOf,
        open_reader: ReaderOf,
        one_store: bool = False,
        memory_broker: bool = False,
        rebuild_from_store: bool = False,
    ) -> None:
        self._one_store = one_store
        self._shared: Store | None = None
        self._settings = settings
        self._streams = streams
        self._indicators = indicators
        self._open_store = open_store
        self._open_reader = open_reader
        self._memory_broker = memory_broker
        self._rebuild = rebuild_from_store
        self._stop_data = threading.Event()
        self._stop_ledger = threading.Event()
        self._woken = threading.Event()
        self._failures: list[BaseException] = []

    def run(self) -> int:
        """Consume until SIGTERM, SIGINT or SIGHUP; the exit code.

        Raises:
            CryptoStreamError: what a thread died of.
        """
        self._require_broker()
        if self._one_store:
            self._shared = self._open_store()
        try:
            return self._supervise()
        finally:
            if self._shared is not None:
                self._shared.close()

    def _supervise(self) -> int:
        for number in stop_signals():
            signal.signal(number, self._on_signal)
        producer = Producer(
            producer_config(
                self._settings.kafka_bootstrap_servers, "consumers", memory_broker=self._memory_broker
            ),
            logger=LIBRDKAFKA_LOG,
        )
        threads = [
            _StreamThread(self, stream, position, producer) for position, stream in enumerate(self._streams)
        ]
        spare_the_collector()
        hand_over_sooner()
        for thread in threads:
            thread.start()
        log.info("consuming %s", ", ".join(stream.label for stream in self._streams))
        self._woken.wait()
        self._wind_up(threads)
        if self._failures:
            raise self._failures[0]
        return 0

    def stop(self) -> None:
        self._woken.set()

    def failed(self, error: BaseException) -> None:
        """A thread died: the process stops, and whoever supervises it starts it again."""
        self._failures.append(error)
        self._woken.set()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.stop()

    def _wind_up(self, threads: Sequence[_StreamThread]) -> None:
        began = time.monotonic()
        self._stop_data.set()
        self._join([thread for thread in threads if not thread.is_ledger], began + DATA_STOP_S)
        # The others' last events are on the topic now, so the ledger can read them.
        self._stop_ledger.set()
        self._join(threads, began + LEDGER_STOP_S)

    @staticmethod
    def _join(threads: Sequence[_StreamThread], deadline: float) -> None:
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
            if thread.is_alive():
                log.warning("%s did not stop in time; what it had in hand will be read again", thread.name)

    def consumer(
        self, stream: Stream, metrics: ServiceMetrics, producer: Producer, store: Store
    ) -> StreamConsumer:
        """A stream's consumer with all that belongs to it."""
        settings = self._settings
        outbox = Outbox(producer, stream.service)
        config = consumer_config(
            settings.kafka_bootstrap_servers,
            stream.group,
            stream.service,
            memory_broker=self._memory_broker,
            slot=self._slot(stream),
        )
        enricher = enricher_of(
            stream,
            self._indicators,
            live_interval_ms=settings.live_interval_ms,
            rebuilt_from_store=self._rebuild,
        )
        if not self._memory_broker:
            # Where a broker has lost what is to be read next, we decide where to go on.
            config["auto.offset.reset"] = "error"
        kafka = Consumer(config, logger=LIBRDKAFKA_LOG)
        parts = Parts(
            stream=stream,
            enricher=enricher,
            consumer=kafka,
            config=config,
            store=store,
            outbox=outbox,
            history=self._history(stream),
            telemetry=Telemetry(metrics, outbox, store, stream.name),
            memory_broker=self._memory_broker,
            upkeep=self._pruning(enricher, kafka),
        )
        return StreamConsumer(parts, self.stop_of(stream), drain=stream.name == "ledger")

    def stop_of(self, stream: Stream) -> threading.Event:
        """Set when this stream is to stop: the ledger stops last."""
        return self._stop_ledger if stream.name == "ledger" else self._stop_data

    def _pruning(self, enricher: Enricher, consumer: Consumer) -> LedgerPruning | None:
        if self._memory_broker or not isinstance(enricher, LedgerEnricher):
            return None
        config = {"bootstrap.servers": self._settings.kafka_bootstrap_servers, "log_level": 0}
        admin = AdminClient(config, logger=LIBRDKAFKA_LOG)
        return LedgerPruning(admin, consumer, enricher.covered)

    def _slot(self, stream: Stream) -> str | None:
        """Static membership where the environment names the slot; replicas without one are dynamic."""
        instance = os.environ.get("INSTANCE")
        return f"{stream.service}-{instance}" if instance and not self._memory_broker else None

    @contextmanager
    def store(self, health: Health) -> Iterator[Store | None]:
        """The store a thread writes to; None if the process stops before there is one."""
        if self._shared is not None:
            yield self._shared
            return
        store = self._await_store(health)
        try:
            yield store
        finally:
            if store is not None:
                store.close()

    def _await_store(self, health: Health) -> Store | None:
        backoff = Backoff()
        while not self._woken.is_set():
            health.beat()
            try:
                store = self._open_store()
            except StoreUnavailable as error:
                log.warning("%s; trying again", error)
                health.unready("store", f"{error}; trying again")
                self._woken.wait(backoff.next_delay_s(error.retry_after))
            else:
                health.ready("store")
                return store
        return None

    def _history(self, stream: Stream) -> History:
        if not self._rebuild or stream.name not in ("klines", "trades"):
            return NoHistory()
        return StoreHistory(self._open_reader(), stream.interval)

    def metrics(self, stream: Stream, position: int) -> ServiceMetrics:
        """Each thread has a port of its own: `METRICS_PORT` and the ones after it."""
        first = self._settings.metrics_port
        port = None if first is None else first + position
        return ServiceMetrics(
            stream.service, metrics_port=port, metrics_address=self._settings.metrics_address
        )

    def _require_broker(self) -> None:
        """See that the broker answers and has the topics, so that a wrong set-up is one clear line."""
        address = self._settings.kafka_bootstrap_servers
        if not address:
            raise SettingsError(
                "KAFKA_BOOTSTRAP_SERVERS: not set; name the broker as host:port, or use `cryptostream run`"
            )
        config: dict[str, Any] = {"bootstrap.servers": address, "log_level": 0}
        try:
            topics = AdminClient(config, logger=LIBRDKAFKA_LOG).list_topics(timeout=BROKER_TIMEOUT_S).topics
        except KafkaException:
            raise BrokerUnavailable(
                f"KAFKA_BOOTSTRAP_SERVERS: no Kafka answers at {address}; start it or name another address"
            ) from None
        if self._memory_broker:
            return
        needed = {topic for stream in self._streams for topic in stream.all_topics}
        missing = sorted((needed | {LEDGER, METRICS, DEAD_LETTERS}) - topics.keys())
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise BrokerError(
                f"topic {missing[0]} is missing on {address}{more}; create it by `cryptostream topics`"
            )
        counts = {name: len(topic.partitions) for name, topic in topics.items()}
        for stream in self._streams:
            fault = misfit(stream, counts)
            if fault is not None:
                raise BrokerError(fault)


class _StreamThread(threading.Thread):
    """A thread whose death is the process' concern."""

    def __init__(self, process: ConsumerProcess, stream: Stream, position: int, producer: Producer) -> None:
        # A daemon, so that a thread stuck in a request cannot hold the process beyond its 10 s.
        super().__init__(name=stream.label, daemon=True)
        self._process = process
        self._stream = stream
        self._position = position
        self._producer = producer

    @property
    def is_ledger(self) -> bool:
        return self._stream.name == "ledger"

    def run(self) -> None:
        try:
            metrics = self._process.metrics(self._stream, self._position)
            with self._process.store(metrics.health) as store:
                if store is not None:
                    self._consume(metrics, store)
        except BaseException as error:  # noqa: BLE001 - handed to the main thread, which raises it
            self._process.failed(error)

    def _consume(self, metrics: ServiceMetrics, store: Store) -> None:
        """Until the stop. A client that has lost its membership gives way to a new one, which begins where
        the old one has committed, as a process does that is started again."""
        rejoining = Rejoining()
        while True:
            consumer = self._process.consumer(self._stream, metrics, self._producer, store)
            try:
                consumer.run()
                return
            except (SlotTaken, BrokerUnavailable) as error:
                delay_s = rejoining.delay_s(error, time.monotonic())
                log.warning("%s: %s; joining the group again in %.1f s", self._stream.label, error, delay_s)
                metrics.health.unready("group", f"{error}; joining again")
            if self._process.stop_of(self._stream).wait(delay_s):
                return
