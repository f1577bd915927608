"""The broker of a run: a Kafka of its own, one in memory, or an external server."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from confluent_kafka import KafkaException

from cryptostream.processes.server import EngineUnavailable, require_engines
from cryptostream.processes.supervisor import GiveUp, RestartWithBackoff, describe_exit
from cryptostream.run.options import RunOptions
from shared.errors import BrokerError, BrokerUnavailable
from shared.kafka import KAFKA, admin_config, cause
from shared.kafka_reader import cluster
from shared.topics import declared_topics

BrokerKind = Literal["kafka", "memory", "external"]
_ANSWER_TIMEOUT_S: Final = 10.0
_COMING_UP_S: Final = 60.0
_POLL_S: Final = 0.1
_FETCH_TIMEOUT_S: Final = 40.0  # 43 MB; the first prices are promised within 60 s

Say = Callable[[str], None]


class Broker(Protocol):
    """A started broker.

    Attributes:
        kind: "kafka" (our own), "memory" or "external".
        reason: why this one.
        address: its bootstrap servers.
    """

    kind: BrokerKind
    reason: str
    address: str

    def tick(self, now_s: float) -> None:
        """Monitor it.

        Raises:
            BrokerError: it has failed for good.
        """

    def stop(self) -> None: ...

    def kill(self) -> None: ...


@dataclass(slots=True)
class ExternalBroker:
    """A Kafka that somebody else runs."""

    address: str
    reason: str
    kind: BrokerKind = "external"

    def tick(self, now_s: float) -> None:
        """The services report its failures and wait."""

    def stop(self) -> None:
        """It keeps running."""

    def kill(self) -> None:
        """It keeps running."""


class MemoryBroker:
    """librdkafka's in-process broker (STACK.md §4.3): about 5 MB per partition, ends with this object."""

    kind: BrokerKind = "memory"

    def __init__(self, reason: str, intervals: Sequence[str]) -> None:
        self.reason = reason
        self._client = KAFKA.admin({"test.mock.num.brokers": 1, "log_level": 0})
        try:
            brokers = self._client.list_topics(timeout=_ANSWER_TIMEOUT_S).brokers.values()
            # It creates a topic at the first request: subscribing consumers find them all.
            for topic in declared_topics(intervals):
                self._client.list_topics(topic.name, timeout=_ANSWER_TIMEOUT_S)
        except KafkaException as error:
            raise BrokerUnavailable(
                f"--broker memory: does not come up ({cause(error).str()}); is this machine very busy?"
            ) from None
        self.address = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def tick(self, now_s: float) -> None:
        """It lives as long as this process."""

    def stop(self) -> None:
        del self._client

    def kill(self) -> None:
        """It ends with this process."""


class OwnKafka:
    """A real Apache Kafka that this run starts, and restarts if it dies."""

    kind: BrokerKind = "kafka"

    def __init__(self, reason: str, directory: Path, say: Say) -> None:
        """Raises:
        EngineUnavailable: no Java, no jars, or it does not come up.
        """
        from cryptostream.engines.kafka import KafkaServer  # noqa: PLC0415 - not part of the image

        self.reason = reason
        self._say = say
        self._policy = RestartWithBackoff()
        self._start_at_s: float | None = None
        self._restarting = threading.Event()
        # A restart takes seconds, hence the thread. One thread for all restarts: the broker dies with the
        # thread that started it (`cryptostream.processes.launcher`).
        self._orders: queue.SimpleQueue[None] = queue.SimpleQueue()
        threading.Thread(target=self._restart_as_ordered, daemon=True).start()
        self._server = KafkaServer(directory)
        self.address = self._server.bootstrap_servers

    def tick(self, now_s: float) -> None:
        if self._restarting.is_set():
            return
        if self._start_at_s is not None:
            if now_s >= self._start_at_s:
                self._start_at_s = None
                self._restarting.set()
                self._orders.put(None)
            return
        exit_code = self._server.server.process.poll()
        if exit_code is None:
            return
        match self._policy.exited(now_s):
            case GiveUp(reason):
                raise BrokerError(
                    f"kafka {reason}: {self._server.server.last_line()} (log: {self._server.server.log_file})"
                )
            case restart:
                self._say(f"kafka {describe_exit(exit_code)}; starting it again in {restart.delay_s:g} s")
                self._start_at_s = now_s + restart.delay_s

    def stop(self) -> None:
        give_up_s = time.monotonic() + _COMING_UP_S
        while self._restarting.is_set() and time.monotonic() < give_up_s:
            time.sleep(_POLL_S)
        self._server.stop()

    def kill(self) -> None:
        self._server.kill()

    def _restart_as_ordered(self) -> None:
        while True:
            self._orders.get()
            try:
                self._server.restart()
                self._say("kafka is back")
            except EngineUnavailable as error:
                # The next tick counts this as another exit.
                self._say(f"kafka: {error}")
            self._restarting.clear()


@dataclass(frozen=True, slots=True)
class BrokerWish:
    """What to start, and why; `fall_back` if a memory broker may replace it."""

    kind: BrokerKind
    address: str
    reason: str
    fall_back: bool


def choose_broker(
    options: RunOptions, configured: str, last_kind: str | None, refusal: Callable[[], str | None]
) -> BrokerWish:
    """Choose what `--broker` means (DESIGN §7).

    Args:
        configured: KAFKA_BOOTSTRAP_SERVERS.
        last_kind: the broker of the last run in this data directory; `auto` keeps it, since it has the
            offsets and states.
        refusal: None if a Kafka can be started here, else why not.
    """
    if options.broker != "auto":
        return BrokerWish(options.broker, options.address, "as asked", False)
    if configured:
        return BrokerWish("external", configured, "KAFKA_BOOTSTRAP_SERVERS is set", False)
    if last_kind == "memory":
        return BrokerWish("memory", "", "as in the last run here; --broker kafka changes that", False)
    missing = refusal()
    if missing is None:
        return BrokerWish("kafka", "", "Java is here", True)
    return BrokerWish("memory", "", missing, False)


def kafka_refusal() -> str | None:
    """None if a Kafka can be started here, else what is missing for it."""
    try:
        require_engines()
        from cryptostream.engines.fetch import find_kafka, java  # noqa: PLC0415 - not part of the image

        java()
    except EngineUnavailable as error:
        return str(error)
    if find_kafka() is None and shutil.which("mvn") is None:
        return "mvn: not on the PATH, and Kafka's jars are not in the cache (make engines)"
    return None


def start_broker(wish: BrokerWish, directory: Path, intervals: Sequence[str], say: Say) -> Broker:
    """Start what was chosen; in `auto`, a memory broker replaces an unavailable Kafka.

    Raises:
        EngineUnavailable, BrokerUnavailable: the message says what is missing, or where nothing answers.
    """
    match wish.kind:
        case "external":
            require_answer(wish.address)
            return ExternalBroker(wish.address, wish.reason)
        case "memory":
            return MemoryBroker(wish.reason, intervals)
    try:
        require_engines()
        from cryptostream.engines.fetch import fetch_kafka  # noqa: PLC0415 - not part of the image

        # A hanging download must not hold `auto` up.
        fetch_kafka(say, timeout_s=_FETCH_TIMEOUT_S if wish.fall_back else None)
        return OwnKafka(wish.reason, directory, say)
    except EngineUnavailable as error:
        if not wish.fall_back:
            raise BrokerUnavailable(
                f"--broker kafka: {error}; take --broker memory, or name one by HOST:PORT"
            ) from None
        return MemoryBroker(f"no Kafka: {error}", intervals)


def require_answer(address: str) -> None:
    """Raises:
    BrokerUnavailable: no Kafka answers there within 10 s.
    """
    client = KAFKA.admin(admin_config(address))
    cluster(
        client,
        silent=f"--broker {address}: no Kafka answers there within {_ANSWER_TIMEOUT_S:g} s; "
        "start it, name another, or take --broker auto without KAFKA_BOOTSTRAP_SERVERS",
        within_s=_ANSWER_TIMEOUT_S,
    )
