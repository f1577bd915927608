"""The simulated Kafka keeps the contract that a real one keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.kafka_contract import KafkaContract
from tests.kafka_contract.base import Apart
from tests.simulation.kafka.broker import Broker
from tests.simulation.kafka.clients import ProcessClients
from tests.simulation.kafka.coordinator import Journal
from tests.simulation.kafka.log import Log
from tests.simulation.port import StepClock


class SimulatedPlace:
    """Virtual time: nothing waits."""

    address = "broker:9092"

    def __init__(self, seed: int) -> None:
        self.clock = StepClock(seed)
        self.broker = Broker(self.clock)
        self.clients = ProcessClients(self.broker).clients

    def create(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        self.broker.create_topic(topic, partitions, config)

    def now_s(self) -> float:
        return self.clock.now_s()

    def pause(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def stop(self) -> None:
        self.broker.stop()

    def start(self) -> None:
        self.broker.start()

    def compact(self, topic: str) -> None:
        for log in self.broker.topics[topic].logs:
            log.compact(before=log.end - 1, tombstones_before_ms=0)

    def written(self, topic: str) -> int:
        return self._written(topic).end

    def lose(self, topic: str, written: int) -> None:
        self.broker.stop()
        self._written(topic).truncate(written)
        self.broker.start()

    def apart(self, run: Apart, topic: str, most: int) -> list[Any]:
        told: list[Any] = []
        run(self, topic, told.append)
        return told[:most]

    def _written(self, topic: str) -> Log | Journal:
        offsets = topic == "__consumer_offsets"
        return self.broker.coordinator.journal if offsets else self.broker.log((topic, 0))


@pytest.mark.parametrize("seed", range(3))
class TestSimulatedKafka(KafkaContract):
    @pytest.fixture
    def place(self, seed: int) -> SimulatedPlace:
        return SimulatedPlace(seed)
