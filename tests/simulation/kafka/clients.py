"""The clients of one simulated process: made by its code, killed with it."""

from __future__ import annotations

from typing import Any, cast

from confluent_kafka import Consumer as RealConsumer
from confluent_kafka import Producer as RealProducer
from confluent_kafka.admin import AdminClient as RealAdminClient

from shared.kafka import KafkaClients
from tests.simulation.kafka.admin import AdminClient
from tests.simulation.kafka.broker import Broker
from tests.simulation.kafka.consumer import Consumer
from tests.simulation.kafka.link import Link
from tests.simulation.kafka.producer import Producer


class ProcessClients:
    """Makes clients of one broker.

    Attributes:
        clients: for the parameter of that name.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._links: list[Link] = []
        self.clients = KafkaClients(self._producer, self._consumer, self._admin)

    def die(self) -> None:
        """The process is killed: nothing that its clients still hold is sent.

        Of what was on its way, the first few requests of each connection arrive, by chance.
        """
        links, self._links = self._links, []
        for link in links:
            link.die()

    # The doubles have the calls that our code makes of these classes, which cannot be subclassed usefully.

    def _producer(self, config: dict[str, Any]) -> RealProducer:
        made = Producer(self._broker, config)
        self._links.append(made.link)
        return cast("RealProducer", made)

    def _consumer(self, config: dict[str, Any]) -> RealConsumer:
        made = Consumer(self._broker, config)
        self._links.append(made.link)
        return cast("RealConsumer", made)

    def _admin(self, config: dict[str, Any]) -> RealAdminClient:
        made = AdminClient(self._broker, config)
        self._links.append(made.link)
        return cast("RealAdminClient", made)
