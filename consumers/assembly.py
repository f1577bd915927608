"""Makes each stream's consumer with its dependencies; no threads, signals or sockets of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, Producer

from consumers.enrich.klines import Indicators
from consumers.enrich.ledger import LedgerEnricher
from consumers.enrich.port import Enricher
from consumers.history import History, NoHistory, StoreHistory
from consumers.kafka_writer import KafkaWriter
from consumers.ledger_pruning import LedgerPruning
from consumers.partitions.counts import misfit
from consumers.service import Parts, StreamConsumer
from consumers.stores.port import Reader, Store
from consumers.streams import Stream, enricher_of, with_batch_for
from consumers.telemetry import Telemetry
from shared.background import Background
from shared.errors import BrokerError, SettingsError
from shared.kafka import KAFKA, KafkaClients, admin_config, consumer_config, producer_config
from shared.kafka_reader import cluster, no_answer
from shared.metrics import ServiceMetrics
from shared.settings import Settings
from shared.topics import DEAD_LETTERS, LEDGER, METRICS


@dataclass(frozen=True, slots=True)
class Assembly:
    """What the consumers of a process have in common.

    Attributes:
        open_reader: called once per stream that rebuilds from the store.
        memory_broker: the broker is librdkafka's in-memory one.
        rebuild_from_store: read the state of unknown series from the store (memory broker only).
        instance: of static members, the stable name of this process; None for dynamic members.
        background: makes the worker that writes to the store, by its name.
    """

    settings: Settings
    indicators: Indicators
    open_reader: Callable[[], Reader]
    memory_broker: bool = False
    rebuild_from_store: bool = False
    instance: str | None = None
    kafka: KafkaClients = KAFKA
    background: Callable[[str], Background] = Background

    def require_broker(self, streams: Sequence[Stream]) -> None:
        """Check that the broker answers and has the topics, so that a wrong set-up gives one clear error.

        Raises:
            SettingsError: its address is not set.
            BrokerUnavailable: it does not answer.
            BrokerError: a topic is missing, or topics do not fit together.
        """
        address = self.settings.kafka_bootstrap_servers
        if not address:
            raise SettingsError(
                "KAFKA_BOOTSTRAP_SERVERS: not set; name the broker as host:port, or use `cryptostream run`"
            )
        topics = cluster(self.kafka.admin(admin_config(address)), silent=no_answer(address)).topics
        if self.memory_broker:
            return
        needed = {topic for stream in streams for topic in stream.all_topics}
        missing = sorted((needed | {LEDGER, METRICS, DEAD_LETTERS}) - topics.keys())
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise BrokerError(
                f"topic {missing[0]} is missing on {address}{more}; create it by `cryptostream topics`"
            )
        counts = {name: len(topic.partitions) for name, topic in topics.items()}
        for stream in streams:
            fault = misfit(stream, counts)
            if fault is not None:
                raise BrokerError(fault)

    def producer(self) -> Producer:
        """The producer that all streams share."""
        address = self.settings.kafka_bootstrap_servers
        return self.kafka.producer(producer_config(address, "consumers", memory_broker=self.memory_broker))

    def consumer(
        self,
        stream: Stream,
        stop: threading.Event,
        *,
        producer: Producer,
        store: Store,
        metrics: ServiceMetrics,
    ) -> StreamConsumer:
        """A stream's consumer, a new member of its group; it runs until `stop`."""
        stream = with_batch_for(stream, len(self.indicators.columns))
        kafka_writer = KafkaWriter(producer, stream.service)
        config = consumer_config(
            self.settings.kafka_bootstrap_servers,
            stream.group,
            stream.service,
            memory_broker=self.memory_broker,
            instance_id=self._instance_id(stream),
        )
        enricher = enricher_of(
            stream,
            self.indicators,
            live_interval_ms=self.settings.live_interval_ms,
            rebuilt_from_store=self.rebuild_from_store,
        )
        if not self.memory_broker:
            # If the broker has lost the next record, we decide where to continue.
            config["auto.offset.reset"] = "error"
        member = self.kafka.consumer(config)
        parts = Parts(
            stream=stream,
            enricher=enricher,
            consumer=member,
            config=config,
            store=store,
            kafka_writer=kafka_writer,
            history=self._history(stream),
            telemetry=Telemetry(metrics, kafka_writer, store, stream.name),
            memory_broker=self.memory_broker,
            upkeep=self._pruning(enricher, member),
            kafka=self.kafka,
            background=self.background,
        )
        return StreamConsumer(parts, stop, drain=stream.name == "ledger")

    def _pruning(self, enricher: Enricher, member: Consumer) -> LedgerPruning | None:
        if self.memory_broker or not isinstance(enricher, LedgerEnricher):
            return None
        admin = self.kafka.admin(admin_config(self.settings.kafka_bootstrap_servers))
        return LedgerPruning(admin, member, enricher.covered)

    def _instance_id(self, stream: Stream) -> str | None:
        """Static membership where the process has a name; replicas without one are dynamic members."""
        return f"{stream.service}-{self.instance}" if self.instance and not self.memory_broker else None

    def _history(self, stream: Stream) -> History:
        if not self.rebuild_from_store or stream.name not in ("klines", "trades"):
            return NoHistory()
        return StoreHistory(self.open_reader(), stream.interval)
