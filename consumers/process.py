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

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from consumers.enrich.klines import Indicators
from consumers.enrich.ledger import LedgerEnricher
from consumers.enrich.port import Enricher
from consumers.history import History, NoHistory, StoreHistory
from consumers.kafka_writer import KafkaWriter
from consumers.ledger_pruning import LedgerPruning
from consumers.membership import Rejoining
from consumers.partitions.counts import misfit
from consumers.service import Parts, StreamConsumer
from consumers.stores.port import Reader, Store
from consumers.streams import Stream, enricher_of
from consumers.telemetry import Telemetry
from shared.backoff import consumer_backoff
from shared.command import stop_signals
from shared.errors import BrokerError, BrokerUnavailable, MemberFenced, SettingsError, StoreUnavailable
from shared.health import Health
from shared.interpreter import freeze_gc, shorten_switch_interval
from shared.kafka import LIBRDKAFKA_LOG, consumer_config, producer_config
from shared.kafka_reader import cluster, no_answer
from shared.metrics import ServiceMetrics
from shared.settings import Settings
from shared.topics import DEAD_LETTERS, LEDGER, METRICS

log: Final = logging.getLogger(__name__)

# A stop takes 10 s at most (DESIGN §5): seven for the data threads, the rest for the ledger.
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
            CryptoStreamError: the error of a thread that failed.
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
        freeze_gc()
        shorten_switch_interval()
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
        """A thread failed: the process stops, and its supervisor restarts it."""
        self._failures.append(error)
        self._woken.set()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.stop()

    def _wind_up(self, threads: Sequence[_StreamThread]) -> None:
        began = time.monotonic()
        self._stop_data.set()
        self._join([thread for thread in threads if not thread.is_ledger], began + DATA_STOP_S)
        # The other streams' last events are on the topic now: the ledger can read them.
        self._stop_ledger.set()
        self._join(threads, began + LEDGER_STOP_S)

    @staticmethod
    def _join(threads: Sequence[_StreamThread], deadline: float) -> None:
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
            if thread.is_alive():
                log.warning("%s did not stop in time; its pending batch will be read again", thread.name)

    def consumer(
        self, stream: Stream, metrics: ServiceMetrics, producer: Producer, store: Store
    ) -> StreamConsumer:
        """A stream's consumer, with its dependencies."""
        settings = self._settings
        kafka_writer = KafkaWriter(producer, stream.service)
        config = consumer_config(
            settings.kafka_bootstrap_servers,
            stream.group,
            stream.service,
            memory_broker=self._memory_broker,
            instance_id=self._instance_id(stream),
        )
        enricher = enricher_of(
            stream,
            self._indicators,
            live_interval_ms=settings.live_interval_ms,
            rebuilt_from_store=self._rebuild,
        )
        if not self._memory_broker:
            # If the broker has lost the next record, we decide where to continue.
            config["auto.offset.reset"] = "error"
        kafka = Consumer(config, logger=LIBRDKAFKA_LOG)
        parts = Parts(
            stream=stream,
            enricher=enricher,
            consumer=kafka,
            config=config,
            store=store,
            kafka_writer=kafka_writer,
            history=self._history(stream),
            telemetry=Telemetry(metrics, kafka_writer, store, stream.name),
            memory_broker=self._memory_broker,
            upkeep=self._pruning(enricher, kafka),
        )
        return StreamConsumer(parts, self.stop_of(stream), drain=stream.name == "ledger")

    def stop_of(self, stream: Stream) -> threading.Event:
        """Set when this stream must stop; the ledger stops last."""
        return self._stop_ledger if stream.name == "ledger" else self._stop_data

    def _pruning(self, enricher: Enricher, consumer: Consumer) -> LedgerPruning | None:
        if self._memory_broker or not isinstance(enricher, LedgerEnricher):
            return None
        config = {"bootstrap.servers": self._settings.kafka_bootstrap_servers, "log_level": 0}
        admin = AdminClient(config, logger=LIBRDKAFKA_LOG)
        return LedgerPruning(admin, consumer, enricher.covered)

    def _instance_id(self, stream: Stream) -> str | None:
        """Static membership where INSTANCE is set; replicas without it are dynamic members."""
        instance = os.environ.get("INSTANCE")
        return f"{stream.service}-{instance}" if instance and not self._memory_broker else None

    @contextmanager
    def store(self, health: Health) -> Iterator[Store | None]:
        """The store that a thread writes to; None if the process stops before it can be opened."""
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
        backoff = consumer_backoff()
        while not self._woken.is_set():
            health.beat()
            try:
                store = self._open_store()
            except StoreUnavailable as error:
                log.warning("%s; trying again", error)
                health.unready("store", f"{error}; trying again")
                self._woken.wait(backoff.failed(error.retry_after))
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
        """Check that the broker answers and has the topics, so that a wrong set-up gives one clear error."""
        address = self._settings.kafka_bootstrap_servers
        if not address:
            raise SettingsError(
                "KAFKA_BOOTSTRAP_SERVERS: not set; name the broker as host:port, or use `cryptostream run`"
            )
        config: dict[str, Any] = {"bootstrap.servers": address, "log_level": 0}
        admin = AdminClient(config, logger=LIBRDKAFKA_LOG)
        topics = cluster(admin, silent=no_answer(address)).topics
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
    """A thread whose failure stops the process."""

    def __init__(self, process: ConsumerProcess, stream: Stream, position: int, producer: Producer) -> None:
        # A daemon, so that a thread stuck in a request cannot keep the process beyond its 10 s.
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
        """Consume until the stop. A client that lost its membership is replaced by a new one, which reads on
        from the committed offsets as a restarted process does."""
        rejoining = Rejoining()
        while True:
            consumer = self._process.consumer(self._stream, metrics, self._producer, store)
            try:
                consumer.run()
                return
            except (MemberFenced, BrokerUnavailable) as error:
                delay_s = rejoining.delay_s(error, time.monotonic())
                log.warning("%s: %s; joining the group again in %.1f s", self._stream.label, error, delay_s)
                metrics.health.unready("group", f"{error}; joining again")
            if self._process.stop_of(self._stream).wait(delay_s):
                return
