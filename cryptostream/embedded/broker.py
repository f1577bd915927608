"""The broker of a run: a Kafka of its own, one in memory, or somebody's server."""

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
from confluent_kafka.admin import AdminClient

from cryptostream.embedded.options import RunOptions
from cryptostream.embedded.supervision import GiveUp, RestartPolicy, describe_exit
from cryptostream.engines.fetch import EngineUnavailable, fetch_kafka, find_kafka, java
from cryptostream.engines.kafka import KafkaServer
from shared.errors import BrokerError, BrokerUnavailable
from shared.kafka import LIBRDKAFKA_LOG, cause
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

    @property
    def restarts(self) -> int: ...

    def tick(self, now_s: float) -> None:
        """Look after it.

        Raises:
            BrokerError: it is gone for good.
        """

    def stop(self) -> None: ...

    def kill(self) -> None: ...


@dataclass(slots=True)
class ExternalBroker:
    """A Kafka that somebody else runs: looked at once, then the services' to watch."""

    address: str
    reason: str
    kind: BrokerKind = "external"
    restarts: int = 0

    def tick(self, now_s: float) -> None:
        """Its failures are met, and waited for, by the services."""

    def stop(self) -> None:
        """It is not ours to stop."""

    def kill(self) -> None:
        """It is not ours to stop."""


class MemoryBroker:
    """librdkafka's in-process broker (STACK.md §4.3): about 5 MB a partition, gone with this object."""

    kind: BrokerKind = "memory"
    restarts = 0

    def __init__(self, reason: str, intervals: Sequence[str]) -> None:
        self.reason = reason
        self._client = AdminClient({"test.mock.num.brokers": 1, "log_level": 0}, logger=LIBRDKAFKA_LOG)
        try:
            brokers = self._client.list_topics(timeout=_ANSWER_TIMEOUT_S).brokers.values()
            # It makes a topic when it is first asked for it: consumers that subscribe find them all.
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
    """A real Apache Kafka that this run starts, and starts again if it dies."""

    kind: BrokerKind = "kafka"

    def __init__(self, reason: str, directory: Path, say: Say) -> None:
        """Raises:
        EngineUnavailable: no Java, no jars, or it does not come up.
        """
        self.reason = reason
        self._say = say
        self._policy = RestartPolicy()
        self._start_at_s: float | None = None
        self._restarting = threading.Event()
        # Coming up takes seconds, in which the run goes on. One thread for all restarts: the broker would die
        # with the thread that started it (`cryptostream.child`).
        self._orders: queue.SimpleQueue[None] = queue.SimpleQueue()
        threading.Thread(target=self._restart_as_ordered, daemon=True).start()
        self._server = KafkaServer(directory)
        self.address = self._server.bootstrap_servers

    @property
    def restarts(self) -> int:
        return self._policy.restarts

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
        match self._policy.exited(exit_code, now_s):
            case GiveUp(_, reason):
                raise BrokerError(f"kafka {reason}: {self._server.server.last_line()} (log: {self._log})")
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

    @property
    def _log(self) -> Path:
        return self._server.server.log_file

    def _restart_as_ordered(self) -> None:
        while True:
            self._orders.get()
            try:
                self._server.restart()
                self._say("kafka is back")
            except EngineUnavailable as error:
                # Its process has ended: the next tick counts it as one more death.
                self._say(f"kafka: {error}")
            self._restarting.clear()


@dataclass(frozen=True, slots=True)
class BrokerWish:
    """What to start, and why; `fall_back` if memory may take its place."""

    kind: BrokerKind
    address: str
    reason: str
    fall_back: bool


def choose_broker(
    options: RunOptions, configured: str, last_kind: str | None, refusal: Callable[[], str | None]
) -> BrokerWish:
    """Settle `--broker` (DESIGN §7).

    Args:
        configured: KAFKA_BOOTSTRAP_SERVERS.
        last_kind: what the last run in this data directory had; `auto` keeps to it, for offsets and states
            stay with the broker.
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
        java()
    except EngineUnavailable as error:
        return str(error)
    if find_kafka() is None and shutil.which("mvn") is None:
        return "mvn: not on the PATH, and Kafka's jars are not in the cache (make engines)"
    return None


def start_broker(wish: BrokerWish, directory: Path, intervals: Sequence[str], say: Say) -> Broker:
    """Start what was chosen; in `auto`, a Kafka that cannot be had gives way to memory.

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
        # In `auto` nobody waits for a download that hangs.
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
    client = AdminClient({"bootstrap.servers": address, "log_level": 0}, logger=LIBRDKAFKA_LOG)
    try:
        client.list_topics(timeout=_ANSWER_TIMEOUT_S)
    except KafkaException:
        raise BrokerUnavailable(
            f"--broker {address}: no Kafka answers there within {_ANSWER_TIMEOUT_S:g} s; "
            "start it, name another, or take --broker auto without KAFKA_BOOTSTRAP_SERVERS"
        ) from None
