"""The real Kafka and InfluxDB that scenarios share; each scenario finds them empty."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from confluent_kafka import KafkaException

from chaos.scenarios import Server
from consumers.streams import STREAMS, streams
from cryptostream.engines.influxdb import InfluxServer
from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics
from shared.errors import BrokerError
from shared.kafka import KAFKA, admin_config, cause
from shared.settings import Settings, load_settings
from shared.topics import declared_topics

_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.1
_TICKS_EXPIRY_S: Final = 7 * 86_400
_DAY_S: Final = 86_400


class Servers:
    """Both servers; a context manager that ends them.

    Attributes:
        kafka, influx: killed, frozen and restarted by scenarios.
    """

    def __init__(self, kafka: KafkaServer, influx: InfluxServer) -> None:
        self.kafka = kafka
        self.influx = influx
        self._scenario = 0

    @classmethod
    def start(cls, directory: Path) -> Self:
        """Start both with empty data in `directory`.

        Raises:
            EngineUnavailable: one of them cannot be started here.
        """
        kafka = KafkaServer(directory / "kafka")
        try:
            return cls(kafka, InfluxServer(directory / "influx"))
        except BaseException:
            kafka.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kafka.kill()
        self.influx.kill()

    def fresh(self, intervals: Sequence[str]) -> None:
        """Empty topics, no groups, and new buckets.

        Raises:
            BrokerError: topics cannot be deleted or created.
        """
        admin = KAFKA.admin(admin_config(self.kafka.bootstrap_servers))
        names = {topic.name for topic in declared_topics(intervals)}
        present = sorted(names & admin.list_topics(timeout=_TIMEOUT_S).topics.keys())
        if present:
            groups = [stream.group for stream in streams(STREAMS, intervals, memory_broker=False)]
            for answer in admin.delete_consumer_groups(groups).values():
                with suppress(KafkaException):  # no such group
                    answer.result(_TIMEOUT_S)
            _all(admin.delete_topics(present))
            deadline = time.monotonic() + _TIMEOUT_S
            while names & admin.list_topics(timeout=_TIMEOUT_S).topics.keys():
                if time.monotonic() > deadline:
                    raise BrokerError(f"topics are still there {_TIMEOUT_S:.0f} s after they were deleted")
                admin.poll(_POLL_S)
        ensure_topics(self.kafka.bootstrap_servers, intervals)
        self._scenario += 1
        market, ticks = self._buckets()
        self.influx.create_bucket(market)
        self.influx.create_bucket(ticks, _TICKS_EXPIRY_S, _DAY_S)

    def environment(self) -> dict[str, str]:
        """Settings that name the servers and the buckets of the last `fresh`."""
        market, ticks = self._buckets()
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "STORE": "influxdb",
            "INFLUX_URL": self.influx.url,
            "INFLUX_ORG": self.influx.org,
            "INFLUX_TOKEN": self.influx.token,
            "INFLUX_TOKEN_FILE": "",  # it would win over the token
            "INFLUX_BUCKET_MARKET": market,
            "INFLUX_BUCKET_TICKS": ticks,
        }

    def settings(
        self, symbols: Sequence[str], intervals: Sequence[str], exchange: str = "binance"
    ) -> Settings:
        """The settings of the services."""
        named = {name.lower(): value for name, value in self.environment().items() if value}
        return load_settings(
            exchange=exchange, symbols=",".join(symbols), intervals=",".join(intervals), **named
        )

    def server(self, name: Server) -> KafkaServer | InfluxServer:
        return self.kafka if name == "kafka" else self.influx

    def freeze(self, name: Server) -> None:
        """SIGSTOP: connections stay open without answers."""
        os.kill(self.server(name).pid, signal.SIGSTOP)

    def thaw(self, name: Server) -> None:
        os.kill(self.server(name).pid, signal.SIGCONT)

    def pids(self) -> dict[str, int]:
        return {"kafka": self.kafka.pid, "influxd": self.influx.pid}

    def _buckets(self) -> tuple[str, str]:
        return f"market-{self._scenario}", f"ticks-{self._scenario}"


def _all(futures: dict[str, Future[Any]]) -> None:
    for name, future in futures.items():
        try:
            future.result(_TIMEOUT_S)
        except KafkaException as error:
            raise BrokerError(f"topic {name} cannot be deleted: {cause(error).str()}") from None
