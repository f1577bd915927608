"""What a stream's consumer is made of, by the settings of its process."""

from __future__ import annotations

import threading
from typing import Any, NoReturn

import pytest
from confluent_kafka import KafkaError, KafkaException

from consumers.assembly import Assembly
from consumers.service import StreamConsumer
from consumers.streams import Stream, streams
from shared.errors import BrokerError, BrokerUnavailable, SettingsError
from shared.kafka import Config
from shared.metrics import ServiceMetrics
from shared.settings import Settings
from shared.topics import DEAD_LETTERS, LEDGER, METRICS, TRADES
from tests.consumer_doubles import SumOfCloses
from tests.kafka_doubles import FakeAdmin, clients
from tests.unit.consumers.service_bench import FakeProducer, MoodyStore


def settings(address: str = "127.0.0.1:1") -> Settings:
    return Settings(_env_file=None, kafka_bootstrap_servers=address)


class Made:
    """The clients that were made, by their settings."""

    def __init__(self, counts: dict[str, int] | None = None) -> None:
        self.consumers: list[Config] = []
        self.admins: list[Config] = []
        self.kafka = clients(
            producer=lambda _config: FakeProducer(), consumer=self._consumer, admin=self._admin
        )
        self._counts = counts or {}

    def _consumer(self, config: Config) -> object:
        self.consumers.append(config)
        return object()

    def _admin(self, config: Config) -> FakeAdmin:
        self.admins.append(config)
        return FakeAdmin(counts=self._counts)


def _never() -> NoReturn:
    raise AssertionError("nobody should read the store")


def assembly(made: Made, **options: Any) -> Assembly:
    return Assembly(settings(), SumOfCloses(), _never, kafka=made.kafka, **options)


def make(made: Made, name: str, **options: Any) -> StreamConsumer:
    (stream,) = streams((name,), ("1m",), memory_broker=options.get("memory_broker", False))
    process = assembly(made, **options)
    return consumer_of(process, stream)


def consumer_of(process: Assembly, stream: Stream) -> StreamConsumer:
    return process.consumer(
        stream,
        threading.Event(),
        producer=process.producer(),
        store=MoodyStore(),
        metrics=ServiceMetrics(stream.service, "0"),
    )


def test_a_process_with_a_name_makes_static_members_and_others_dynamic_ones() -> None:
    made = Made()
    make(made, "trades", instance="7")
    make(made, "trades", instance=None)
    make(made, "trades", instance="7", memory_broker=True)
    assert [config.get("group.instance.id") for config in made.consumers] == ["consumer-trades-7", None, None]


def test_we_decide_where_to_read_on_if_a_real_broker_has_lost_the_next_record() -> None:
    made = Made()
    make(made, "trades")
    make(made, "trades", memory_broker=True)
    assert [config["auto.offset.reset"] for config in made.consumers] == ["error", "earliest"]


def test_only_the_ledger_of_a_real_broker_is_pruned() -> None:
    made = Made()
    make(made, "klines")
    make(made, "ledger", memory_broker=True)
    assert made.admins == []
    make(made, "ledger")
    assert len(made.admins) == 1


def test_the_worker_that_writes_to_the_store_is_the_given_one() -> None:
    names: list[str] = []
    make(Made(), "klines", background=names.append)
    assert names == ["klines.1m writer"]


ALL_TOPICS = {TRADES: 6, LEDGER: 6, METRICS: 1, DEAD_LETTERS: 1}


class TestBroker:
    """What a process requires of it before it begins."""

    def require(self, counts: dict[str, int], name: str = "trades", **options: Any) -> None:
        made = Made(counts)
        assembly(made, **options).require_broker(
            streams((name,), ("1m",), memory_broker=options.get("memory_broker", False))
        )

    def test_a_broker_with_all_topics_is_enough(self) -> None:
        self.require(ALL_TOPICS)

    def test_a_missing_topic_is_named_and_the_others_counted(self) -> None:
        with pytest.raises(BrokerError, match=r"topic pipeline\.ledger is missing on 127\.0\.0\.1:1 \(and 1"):
            self.require({TRADES: 6, DEAD_LETTERS: 1})

    def test_the_memory_broker_makes_its_topics_itself(self) -> None:
        self.require({}, memory_broker=True)

    def test_topics_that_do_not_fit_together_are_refused(self) -> None:
        ledger = {LEDGER: 12, "pipeline.ledger-snapshot": 6, METRICS: 1, DEAD_LETTERS: 1}
        with pytest.raises(BrokerError, match=r"has 12 partitions and .* only 6"):
            self.require(ledger, "ledger")

    def test_an_address_that_is_not_set_is_a_setting_to_correct(self) -> None:
        process = Assembly(settings(""), SumOfCloses(), _never, kafka=Made().kafka)
        with pytest.raises(SettingsError, match="KAFKA_BOOTSTRAP_SERVERS: not set"):
            process.require_broker(())

    def test_a_broker_that_is_away_is_named(self) -> None:
        class Away:
            def list_topics(self, timeout: float) -> NoReturn:
                raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))

        kafka = clients(admin=lambda _config: Away())
        with pytest.raises(BrokerUnavailable, match=r"no Kafka answers at 127\.0\.0\.1:1"):
            Assembly(settings(), SumOfCloses(), _never, kafka=kafka).require_broker(())


def test_one_missing_topic_is_named_alone() -> None:
    topics = {TRADES: 6, METRICS: 1, DEAD_LETTERS: 1}
    process = assembly(Made(topics))
    with pytest.raises(BrokerError, match=r"topic pipeline\.ledger is missing on 127\.0\.0\.1:1; create"):
        process.require_broker(streams(("trades",), (), memory_broker=False))


def test_the_ledger_reads_to_the_end_at_a_stop_and_others_stop_at_once() -> None:
    assert make(Made(), "ledger")._drain
    assert not make(Made(), "trades")._drain


@pytest.mark.parametrize(
    ("name", "rebuild", "read"),
    [
        ("klines", True, True),
        ("trades", True, True),
        ("book", True, False),
        ("klines", False, False),
    ],
)
def test_only_series_with_a_past_are_rebuilt_from_the_store(name: str, rebuild: bool, read: bool) -> None:
    opened: list[str] = []

    def reader() -> Any:
        opened.append(name)

    (stream,) = streams((name,), ("1m",), memory_broker=True)
    process = Assembly(
        settings(),
        SumOfCloses(),
        reader,
        memory_broker=True,
        rebuild_from_store=rebuild,
        kafka=Made().kafka,
    )
    consumer_of(process, stream)
    assert opened == ([name] if read else [])


def test_bars_are_read_in_batches_that_suit_their_indicators() -> None:
    assert make(Made(), "klines")._stream.batch == 10_000, "one column"
    assert make(Made(), "trades")._stream.batch == 10_000
