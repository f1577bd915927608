"""Which Kafka clients recover from a broker's restart, some of them idle, some busy.

`make bench ARGS="restarts --restarts 14"`. A client that receives or delivers nothing within a minute of the
restart is dead: its process would have to be restarted (docs/decisions/broker-restart.md).
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, Message, Producer, libversion
from confluent_kafka.admin import AdminClient, NewTopic

from bench import report
from cryptostream.engines.kafka import KafkaServer
from shared.arguments import Parser, whole
from shared.kafka import consumer_config, producer_config

CONSUMERS: Final = 40
PRODUCERS: Final = 10
_PARTITIONS: Final = 6
_AWAY_S: Final = 8.0
_DEAD_AFTER_S: Final = 60.0


class Reader(threading.Thread):
    """A static member of its own group, on its own topic."""

    def __init__(self, bootstrap_servers: str, number: int, settings: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        name = f"restarts-{number}"
        self._config = consumer_config(bootstrap_servers, name, name, instance_id=name) | settings
        self._topic = name
        self.heard_s = 0.0

    def run(self) -> None:
        while True:
            consumer = Consumer(self._config)
            consumer.subscribe([self._topic])
            while not self._fenced(consumer.consume(500, 0.1)):
                pass
            # The broker has lost the group: a service would restart.
            consumer.close()

    def _fenced(self, messages: list[Message]) -> bool:
        errors = [error for message in messages if (error := message.error()) is not None]
        if len(messages) > len(errors):
            self.heard_s = time.monotonic()
        return any(error.fatal() for error in errors)


class Writer(threading.Thread):
    """A producer that always sends."""

    def __init__(self, bootstrap_servers: str, number: int, settings: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self._topic = f"restarts-{number}"
        self._producer = Producer(producer_config(bootstrap_servers, self._topic) | settings)
        self.heard_s = 0.0

    def run(self) -> None:
        while True:
            with suppress(BufferError):  # full while the broker is down
                for key in range(20):
                    self._producer.produce(self._topic, b"x" * 100, str(key), on_delivery=self._delivered)
            self._producer.poll(0.05)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self.heard_s = time.monotonic()


def main(arguments: list[str]) -> int:
    """Run it, print the table, write the JSON; 1 if a client died."""
    parser = Parser(prog="bench restarts")
    parser.add_argument("--restarts", type=whole, default=10, help="of the broker (default 10)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of librdkafka")
    asked = parser.parse_args(arguments)
    settings = {"log_level": 0, **dict(pair.split("=", 1) for pair in asked.set)}
    with tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as directory:
        rounds = _rounds(KafkaServer(Path(directory)), asked.restarts, settings)
    dead = sum(one["dead"] for one in rounds)
    version = libversion()[0]
    report.show(
        f"librdkafka {version}: {len(rounds)} restarts, {CONSUMERS} consumers, {PRODUCERS} producers",
        ["restart", "all back after s", "dead"],
        [[str(number), f"{one['after_s']:.1f}", str(one["dead"])] for number, one in enumerate(rounds, 1)],
    )
    print(f"written: {report.write('restarts', {'librdkafka': version, 'set': asked.set, 'rounds': rounds})}")
    # Threads of dead clients would keep the process alive.
    os._exit(1 if dead else 0)


def _rounds(kafka: KafkaServer, restarts: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    topics = [NewTopic(f"restarts-{number}", _PARTITIONS, 1) for number in range(CONSUMERS)]
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    for future in admin.create_topics(topics).values():
        future.result(30)
    clients: list[Reader | Writer] = [
        *(Reader(kafka.bootstrap_servers, number, settings) for number in range(CONSUMERS)),
        *(Writer(kafka.bootstrap_servers, number, settings) for number in range(PRODUCERS)),
    ]
    for client in clients:
        client.start()
    _all_heard(kafka, clients)
    rounds = []
    try:
        for _ in range(restarts):
            kafka.stop()
            time.sleep(_AWAY_S)
            kafka.restart()
            rounds.append(_all_heard(kafka, clients))
            if rounds[-1]["dead"]:
                break
    finally:
        kafka.kill()
    return rounds


def _all_heard(kafka: KafkaServer, clients: list[Reader | Writer]) -> dict[str, Any]:
    """Wait for a message of every client; how long it took, and how many had none."""
    began_s = time.monotonic()
    while True:
        time.sleep(2.0)
        _send_to_idle(kafka)
        dead = sum(client.heard_s <= began_s for client in clients)
        after_s = time.monotonic() - began_s
        if not dead or after_s > _DEAD_AFTER_S:
            return {"after_s": round(after_s, 1), "dead": dead}


def _send_to_idle(kafka: KafkaServer) -> None:
    """Send a record to every partition of the idle topics."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    for number in range(PRODUCERS, CONSUMERS):
        for partition in range(_PARTITIONS):
            producer.produce(f"restarts-{number}", b"x", partition=partition)
    producer.flush(20)
