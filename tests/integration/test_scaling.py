"""Replicas come, go and are killed while messages flow: every stored value is that of an undisturbed run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer

from consumers.streams import Stream, streams
from cryptostream.engines.influxdb import InfluxServer
from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics
from shared.kafka import HEARTBEAT_MS, KAFKA, consumer_config, producer_config
from shared.settings import Settings
from tests.conftest import real_influx, real_kafka
from tests.integration.consumer_harness import (
    ConsumerRun,
    assignments,
    holders,
    left,
    member_ids,
    members,
    until,
)
from tests.integration.streaming import (
    Sent,
    bars,
    count,
    environment,
    exported,
    influx_settings,
    send,
    trades,
    undisturbed,
)

INTERVALS = ("1s", "1m")
STREAMS = streams(("klines", "trades"), INTERVALS, memory_broker=False)
GROUPS = [stream.group for stream in STREAMS]
SYMBOLS = [f"SCALE{number}USDC" for number in range(12)]
TRADES, SECONDS, MINUTES = 600, 240, 120
SLICES = 200
START_MS = (int(time.time()) // 60 - 180) * 60_000


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with real_kafka(tmp_path_factory.mktemp("kafka")) as server:
        ensure_topics(server.bootstrap_servers, INTERVALS)
        yield server


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    with real_influx(tmp_path_factory.mktemp("influx")) as server:
        yield server


@pytest.fixture
def settings(kafka: KafkaServer, influxd: InfluxServer) -> Settings:
    return influx_settings(kafka.bootstrap_servers, influxd)


def market() -> list[Sent]:
    """All records in slices of time, so that every slice has trades and bars of every symbol."""
    streams = (
        trades(SYMBOLS, TRADES, START_MS),
        bars(SYMBOLS, "1s", SECONDS, START_MS),
        bars(SYMBOLS, "1m", MINUTES, START_MS),
    )
    return [
        record
        for part in range(SLICES)
        for of in streams
        for record in of[part * len(of) // SLICES : (part + 1) * len(of) // SLICES]
    ]


@contextmanager
def flowing(bootstrap_servers: str, records: list[Sent]) -> Iterator[None]:
    """Records are published slice by slice until the block ends, then the rest of them at once."""
    producer = Producer(producer_config(bootstrap_servers, "test"))
    hurry = threading.Event()

    def publish() -> None:
        for part in range(SLICES):
            send(producer, records[part * len(records) // SLICES : (part + 1) * len(records) // SLICES])
            hurry.wait(0.3)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        hurry.set()
        thread.join()


@contextmanager
def replica(settings: Settings, **more: str) -> Iterator[ConsumerRun]:
    options = ("--stream", "klines", "--stream", "trades", "--intervals", ",".join(INTERVALS))
    run = ConsumerRun(options, environment(settings) | {"INSTANCE": ""} | more)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.kill()
            print(run.process.communicate()[1])


def share(settings: Settings, replicas: int) -> None:
    until(
        lambda: all(members(settings.kafka_bootstrap_servers, group) == replicas for group in GROUPS),
        f"{replicas} replicas with partitions of every group",
    )


def settled(settings: Settings, replicas: int) -> None:
    """Wait until no group has another member or partition elsewhere for longer than a heartbeat.

    A replica that stops amid a rebalance may remain a member until its session ends: the broker reads its
    LeaveGroup only after the JoinGroup before it, which waits for all others, and librdkafka gives it up
    after 5 s. A commit that arrives after a JoinGroup is refused, after which the member joins once more.
    """
    seen: list[dict[str, set[tuple[str, int]]]] = []
    since = time.monotonic()

    def quiet() -> bool:
        nonlocal since
        now = [assignments(settings.kafka_bootstrap_servers, group) for group in GROUPS]
        if seen != now or any(sum(map(bool, one.values())) != replicas for one in now):
            seen[:], since = now, time.monotonic()
        return time.monotonic() - since > HEARTBEAT_MS / 1000 + 0.5

    until(quiet, f"groups of {replicas} replicas at rest")


def test_scaling_out_a_crash_and_scaling_in_change_no_value(kafka: KafkaServer, settings: Settings) -> None:
    broker = settings.kafka_bootstrap_servers
    records = market()
    with ExitStack() as replicas:
        first = replicas.enter_context(replica(settings))
        share(settings, 1)
        with flowing(broker, records):
            until(lambda: count(settings, "trade", SYMBOLS[:1]), "the first trades")
            second, third = (replicas.enter_context(replica(settings)) for _ in range(2))
            share(settings, 3)
            third.kill()
            settled(settings, 2)
            before = set().union(*(assignments(broker, group) for group in GROUPS))
            code, errors = second.stop()
            assert code == 0, errors
            settled(settings, 1)
            gone = before.difference(*(assignments(broker, group) for group in GROUPS))
            # Without a word it would stay a member until its session of 10 s has ended.
            assert [left(kafka, member) for member in gone] == [True] * len(GROUPS), errors
        until(lambda: count(settings, "trade", SYMBOLS) == TRADES * len(SYMBOLS), "all trades")
        until(lambda: count(settings, "kline", SYMBOLS) == (SECONDS + MINUTES) * len(SYMBOLS), "all bars")
        code, errors = first.stop()
        assert code == 0, errors
    found, expected = exported(settings, SYMBOLS), undisturbed(records, INTERVALS)
    assert found.keys() == expected.keys()
    assert found == expected


def test_a_static_member_gets_its_partitions_back_without_a_rebalance(
    settings: Settings, tmp_path: Path
) -> None:
    """Static membership: the one replica of a name is killed and started again."""
    broker = settings.kafka_bootstrap_servers
    with replica(settings, INSTANCE="7") as first:
        share(settings, 1)
        first.kill()
    with replica(settings, INSTANCE="7") as second:

        def are_stored() -> bool:
            if count(settings, "trade", ["SLOTUSDC"]):
                return True
            feed(broker)
            return False

        until(are_stored, "the trades of the instance")
        assert [len(member_ids(broker, group)) for group in GROUPS] == [1] * len(GROUPS)
        assert second.stop()[0] == 0


def test_a_member_that_was_fenced_once_rejoins(settings: Settings) -> None:
    """As by a broker that lost its memory of a group."""
    broker = settings.kafka_bootstrap_servers
    with replica(settings, INSTANCE="9") as run:
        # That of an earlier test stays a member until its session has ended.
        until(lambda: all(holders(broker, of.group) == {f"{of.service}-9"} for of in STREAMS), "it alone")
        for stream in STREAMS:
            join_as(broker, stream, "9")
        send(Producer(producer_config(broker, "test")), trades(["TAKENUSDC"], 100, START_MS + 600_000))
        until(lambda: count(settings, "trade", ["TAKENUSDC"]) == 100, "the trades after it")
        share(settings, 1)
        code, errors = run.stop()
    assert code == 0, errors
    assert errors.count("joining the group again") >= len(STREAMS), errors
    # Nothing of librdkafka's own.
    assert [line for line in errors.splitlines() if line.startswith("%") or "librdkafka" in line] == []


def join_as(broker: str, stream: Stream, instance: str) -> None:
    """Join with it, and be gone without a word."""
    instance_id = f"{stream.service}-{instance}"
    taker = KAFKA.consumer(consumer_config(broker, stream.group, "taker", instance_id=instance_id))
    taker.subscribe(list(stream.topics))
    # The one that had it may be so quick to take it back that the taker is fenced in turn.
    until(lambda: taker.assignment() or fenced(taker), "the member to be fenced")
    taker.close()


def fenced(taker: Consumer) -> bool:
    message = taker.poll(0.1)
    error = None if message is None else message.error()
    return error is not None and error.code() == KafkaError._FATAL and "fenced" in error.str()


def feed(broker: str) -> None:
    send(Producer(producer_config(broker, "test")), trades(["SLOTUSDC"], 1, START_MS + 600_000))


def test_a_slot_that_is_used_twice_ends_one_of_them_with_a_clear_line(settings: Settings) -> None:
    with replica(settings, INSTANCE="8") as first:
        share(settings, 1)
        with replica(settings, INSTANCE="8") as second:
            ended = until(
                lambda: next((run for run in (first, second) if run.process.poll() is not None), None),
                "one of the two to end",
            )
            _, errors = ended.process.communicate()
    assert ended.process.returncode == 1
    last = errors.splitlines()[-1]
    assert last.startswith("error: INSTANCE: another process joined the group as consumer-")
