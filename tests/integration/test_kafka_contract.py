"""A real Kafka keeps the contract that the simulated one keeps."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from confluent_kafka.admin import NewTopic

from cryptostream.engines.kafka import KafkaServer
from shared.kafka import KAFKA, admin_config, consumer_config
from tests.conftest import real_kafka
from tests.kafka_contract import KafkaContract
from tests.kafka_contract.base import Apart, Place

_KNOWN_S = 30.0
# A rebalance waits for a session at most.
_TOLD_S = 60.0
# The broker looks for something to compact every 15 s.
_COMPACTED_S = 120.0


class RealPlace:
    """A broker of our own, which tests stop."""

    clients = KAFKA

    def __init__(self, server: KafkaServer) -> None:
        self._server = server
        self.address = server.bootstrap_servers
        self._admin = KAFKA.admin(admin_config(self.address))

    def create(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=dict(config))
        self._admin.create_topics([new])[topic].result(_KNOWN_S)
        deadline_s = time.monotonic() + _KNOWN_S
        while topic not in self._admin.list_topics(timeout=10).topics:
            assert time.monotonic() < deadline_s, f"{topic} is not known"
            time.sleep(0.1)

    def now_s(self) -> float:
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def stop(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.restart()

    def compact(self, topic: str) -> None:
        """Wait until the broker has done it: a key's older records are gone."""
        deadline_s = time.monotonic() + _COMPACTED_S
        while self._second_offset(topic) == 1:
            assert time.monotonic() < deadline_s, f"{topic} was not compacted"
            time.sleep(1.0)

    def written(self, topic: str) -> int:
        return self._segment(topic).stat().st_size

    def lose(self, topic: str, written: int) -> None:
        self._server.kill()
        os.truncate(self._segment(topic), written)
        self._server.restart()

    def apart(self, run: Apart, topic: str, most: int) -> list[Any]:
        spawning = multiprocessing.get_context("spawn")
        ours, theirs = spawning.Pipe(duplex=False)
        process = spawning.Process(target=_run_apart, args=(self.address, run, topic, theirs))
        process.start()
        theirs.close()
        told: list[Any] = []
        try:
            while len(told) < most and ours.poll(_TOLD_S):
                told.append(ours.recv())
        except EOFError:
            pass  # it has told all and ended
        finally:
            process.kill()
            process.join()
        return told

    def _segment(self, topic: str) -> Path:
        (segment,) = (self._server.log_dir / f"{topic}-0").glob("*.log")
        return segment

    def _second_offset(self, topic: str) -> int:
        reader = KAFKA.consumer(consumer_config(self.address, topic, "contract"))
        try:
            reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
            offsets = [message.offset() for message in reader.consume(2, 5.0)]
            return int(offsets[0] or 0) or int(offsets[1] or 0)
        finally:
            reader.close()


class _Client:
    """As much of a place as another process needs."""

    clients = KAFKA
    now_s = staticmethod(time.monotonic)
    pause = staticmethod(time.sleep)

    def __init__(self, address: str) -> None:
        self.address = address


def _run_apart(address: str, run: Apart, topic: str, tell: Connection[Any, Any]) -> None:
    # No more of a place is asked of it.
    run(cast(Place, _Client(address)), topic, tell.send)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with real_kafka(tmp_path_factory.mktemp("contract")) as server:
        yield server


class TestRealKafka(KafkaContract):
    @pytest.fixture
    def place(self, server: KafkaServer) -> RealPlace:
        return RealPlace(server)
