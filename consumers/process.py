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
from typing import Final

from confluent_kafka import Producer

from consumers.assembly import Assembly
from consumers.enrich.klines import Indicators
from consumers.rejoin import consume
from consumers.service import StreamConsumer
from consumers.stores.port import Reader, Store
from consumers.streams import Stream
from shared.backoff import consumer_backoff
from shared.command import stop_signals
from shared.errors import StoreUnavailable
from shared.health import Health
from shared.interpreter import freeze_gc, shorten_switch_interval
from shared.kafka import KAFKA, KafkaClients
from shared.metrics import ServiceMetrics
from shared.settings import Settings

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
        open_reader, memory_broker, rebuild_from_store: as of `Assembly`.
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
        kafka: KafkaClients = KAFKA,
    ) -> None:
        self._assembly = Assembly(
            settings,
            indicators,
            open_reader,
            memory_broker=memory_broker,
            rebuild_from_store=rebuild_from_store,
            instance=os.environ.get("INSTANCE"),
            kafka=kafka,
        )
        self._one_store = one_store
        self._shared: Store | None = None
        self._settings = settings
        self._streams = streams
        self._open_store = open_store
        self._stop_data = threading.Event()
        self._stop_ledger = threading.Event()
        self._woken = threading.Event()
        self._failures: list[BaseException] = []

    def run(self) -> int:
        """Consume until SIGTERM, SIGINT or SIGHUP; the exit code.

        Raises:
            CryptoStreamError: the error of a thread that failed.
        """
        self._assembly.require_broker(self._streams)
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
        producer = self._assembly.producer()
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

    def join(
        self, stream: Stream, metrics: ServiceMetrics, producer: Producer, store: Store
    ) -> StreamConsumer:
        """A new member of the stream's group."""
        stop = self.stop_of(stream)
        return self._assembly.consumer(stream, stop, producer=producer, store=store, metrics=metrics)

    def stop_of(self, stream: Stream) -> threading.Event:
        """Set when this stream must stop; the ledger stops last."""
        return self._stop_ledger if stream.name == "ledger" else self._stop_data

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

    def metrics(self, stream: Stream, position: int) -> ServiceMetrics:
        """Each thread has a port of its own: `METRICS_PORT` and the ones after it."""
        first = self._settings.metrics_port
        port = None if first is None else first + position
        return ServiceMetrics(
            stream.service, metrics_port=port, metrics_address=self._settings.metrics_address
        )


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
        consume(
            self._stream.label,
            lambda: self._process.join(self._stream, metrics, self._producer, store),
            self._process.stop_of(self._stream),
            metrics.health,
        )
