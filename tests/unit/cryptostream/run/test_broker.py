"""Which broker a run takes, and the one in memory."""

from __future__ import annotations

import argparse

import pytest
from confluent_kafka.admin import AdminClient

from cryptostream.processes.server import free_port
from cryptostream.run.broker import BrokerWish, MemoryBroker, choose_broker, require_answer
from cryptostream.run.options import add_arguments, read_options
from shared.errors import BrokerUnavailable
from shared.topics import declared_topics


def wish(
    *words: str, configured: str = "", last: str | None = None, missing: str | None = None
) -> BrokerWish:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return choose_broker(read_options(parser.parse_args(words)), configured, last, lambda: missing)


def test_auto_takes_the_configured_server_first() -> None:
    assert wish(configured="kafka:9092").address == "kafka:9092"
    assert wish(configured="kafka:9092", last="memory").kind == "external"


def test_auto_takes_a_kafka_of_its_own_where_java_is_and_may_fall_back() -> None:
    assert wish() == BrokerWish("kafka", "", "Java is here", True)


def test_auto_takes_memory_where_no_kafka_can_be_had_and_says_why() -> None:
    assert wish(missing="java: not on the PATH") == BrokerWish("memory", "", "java: not on the PATH", False)


def test_auto_keeps_to_the_broker_in_memory_of_the_last_run() -> None:
    assert wish(last="memory").kind == "memory"
    assert wish("--broker", "kafka", last="memory").kind == "kafka"


def test_what_is_asked_for_is_taken_or_fails() -> None:
    assert wish("--broker", "kafka", configured="other:1") == BrokerWish("kafka", "", "as asked", False)
    assert wish("--broker", "host:9092") == BrokerWish("external", "host:9092", "as asked", False)


def test_the_broker_in_memory_has_all_topics_from_the_start() -> None:
    broker = MemoryBroker("as asked", ("1s", "1m"))
    topics = AdminClient({"bootstrap.servers": broker.address, "log_level": 0}).list_topics(timeout=10).topics
    assert {topic.name for topic in declared_topics(("1s", "1m"))} <= set(topics)
    broker.stop()


def test_an_address_where_nothing_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cryptostream.run.broker._ANSWER_TIMEOUT_S", 0.5)
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerUnavailable, match=f"--broker {address}: no Kafka answers"):
        require_answer(address)
