"""The broker: topics, the requests of clients, and what may happen to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from confluent_kafka import KafkaError

from tests.simulation.kafka.coordinator import Coordinator
from tests.simulation.kafka.log import BATCH_BYTES, Entry, Log, Origin, Refused
from tests.simulation.kafka.messages import NOT_LEADER, At, Message
from tests.simulation.port import Surroundings

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take, in seconds; each is drawn between two bounds.

    Attributes:
        hop_s: of a request on its way to the broker, and of an answer.
        led_s: from a start of the broker until it leads its partitions.
        loaded_s: until its coordinator has read its log.
        initial_rebalance_delay_s: as `group.initial.rebalance.delay.ms`.
    """

    hop_s: tuple[float, float] = (0.000_2, 0.003)
    led_s: tuple[float, float] = (0.0, 0.8)
    loaded_s: tuple[float, float] = (0.0, 1.5)
    initial_rebalance_delay_s: float = 0.0


class Fetched(NamedTuple):
    """A broker's answer to a fetch."""

    records: Sequence[Message]
    low: int
    high: int
    epoch: int
    fault: int | None = None  # out of range, or truncated


class Fetch(NamedTuple):
    """A consumer's request for records; `epoch` of the record before `offset`, where known."""

    at: At
    offset: int
    epoch: int | None
    led: int | None  # the leader's epoch, as the client knows it
    at_most: int
    wait_s: float


@dataclass(slots=True)
class Topic:
    """A topic; `config` as it was declared."""

    name: str
    logs: list[Log]
    config: dict[str, str]


class Broker:
    """One broker with all partitions.

    Attributes:
        up: whether it takes requests. boot: how often it was started.
        links: clients that are connected; each is told when the broker goes.
    """

    def __init__(self, world: Surroundings, pace: Pace | None = None) -> None:
        self.world = world
        self.pace = pace or Pace()
        self.topics: dict[str, Topic] = {}
        self.coordinator = Coordinator(world, self.later, self.pace.initial_rebalance_delay_s)
        self.up = True
        self.boot = 1
        self.links: dict[object, Callable[[], None]] = {}
        self._led_from_s = 0.0
        self._producers = 0
        self._frozen = False
        self._requests: list[Callable[[], None]] = []  # that a frozen broker has not read yet
        self._timers: list[Callable[[], None]] = []  # that ran out meanwhile

    def draw(self, bounds: tuple[float, float]) -> float:
        return self.world.random.uniform(*bounds)

    @property
    def answers(self) -> bool:
        """Whether a new connection gets an answer."""
        return self.up and not self._frozen

    def receive(self, request: Callable[[], None]) -> None:
        """Do what a request asks for; a frozen broker does it later."""
        if self._frozen:
            self._requests.append(request)
        else:
            request()

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """A timer of the broker, which stands still with it."""

        def run() -> None:
            if self._frozen:
                self._timers.append(call)
            else:
                call()

        self.world.later(delay_s, run, quiet=True)

    # -- topics ------------------------------------------------------------------------------------------

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
        """Raises Refused: it exists."""
        if name in self.topics:
            raise Refused(KafkaError.TOPIC_ALREADY_EXISTS)
        self.topics[name] = Topic(name, [Log((name, at)) for at in range(partitions)], dict(config or {}))

    def has(self, at: At) -> bool:
        """Whether there is such a partition."""
        topic = self.topics.get(at[0])
        return topic is not None and 0 <= at[1] < len(topic.logs)

    def log(self, at: At) -> Log:
        """A partition's log, whether the broker is up or not. Raises Refused: there is none."""
        if not self.has(at):
            raise Refused(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return self.topics[at[0]].logs[at[1]]

    def led(self, at: At) -> Log:
        """The log, if this broker already leads it. Raises Refused."""
        if self.world.now_s() < self._led_from_s:
            # It knows its partitions a moment later than its groups.
            later = self._led_from_s - self.world.now_s() < self.pace.led_s[1] / 2
            raise Refused(NOT_LEADER if later else KafkaError.UNKNOWN_TOPIC_OR_PART)
        return self.log(at)

    def new_producer(self) -> int:
        """An id for an idempotent producer."""
        self._producers += 1
        return self._producers

    # -- requests ----------------------------------------------------------------------------------------

    def produce(self, at: At, entries: Sequence[Entry], origin: Origin | None) -> Sequence[Message]:
        """Append a batch. Raises Refused."""
        log = self.led(at)
        allowed = self.topics[at[0]].config.get("max.message.bytes")
        # Where none is declared, no client's batch can be too large.
        if allowed and BATCH_BYTES + sum(entry.bytes for entry in entries) > int(allowed):
            raise Refused(KafkaError.MSG_SIZE_TOO_LARGE)
        return log.append(entries, self.world.now_ms(), origin)

    def fetch(self, request: Fetch, owner: object, reply: Callable[[Fetched | Refused], None]) -> None:
        """Records, at once or when some come, or nothing after `wait_s`.

        Args:
            owner: whose request replaces an earlier one that still waits.
        """
        try:
            log = self.led(request.at)
        except Refused as refused:
            reply(refused)
            return
        boot = self.boot
        answer = self._read(log, request)
        if answer is not None:
            reply(answer)
            return

        def come() -> None:
            self.world.later(self.draw(self.pace.hop_s), serve, quiet=True)

        def serve() -> None:
            if self.boot == boot and self.up:
                found = self._read(log, request)
                reply(found or Fetched((), log.start, log.end, log.epoch))

        def expire() -> None:
            if log.waiting.get(owner) is come:
                del log.waiting[owner]
                serve()

        log.waiting[owner] = come
        if request.wait_s >= 0:
            self.later(request.wait_s, expire)

    @staticmethod
    def _read(log: Log, request: Fetch) -> Fetched | None:
        offset = request.offset
        if request.epoch is not None and request.led != log.epoch and log.end_of(request.epoch) < offset:
            return Fetched((), log.start, log.end, log.epoch, KafkaError._LOG_TRUNCATION)
        if not log.start <= offset <= log.end:
            return Fetched((), log.start, log.end, log.epoch, KafkaError.OFFSET_OUT_OF_RANGE)
        records = log.read(offset, request.at_most)
        return Fetched(records, log.start, log.end, log.epoch) if records else None

    # -- what happens to it ------------------------------------------------------------------------------

    def stop(self) -> None:
        """It is killed, or stopped: what it has written stays."""
        if not self.up:
            return
        self.up = self._frozen = False
        self._requests.clear()
        self._timers.clear()
        self.coordinator.stop()
        links, self.links = self.links, {}
        for told in links.values():
            self.world.later(self.draw(self.pace.hop_s), told)
        for topic in self.topics.values():
            for log in topic.logs:
                log.waiting.clear()

    def freeze(self) -> None:
        """It does nothing until `thaw`; its connections stay."""
        self._frozen = self.up

    def thaw(self) -> None:
        """It goes on: requests and timers that have run out come in any order."""
        self._frozen = False
        requests, self._requests = self._requests, []
        timers, self._timers = self._timers, []
        while requests or timers:
            first = timers if timers and (not requests or self.world.random.random() < 0.5) else requests
            first.pop(0)()

    def clean(self) -> None:
        """Apply the settings of topics: compaction up to some record, retention by time and size."""
        now_ms = self.world.now_ms()
        for topic in self.topics.values():
            for log in topic.logs:
                if topic.config.get("cleanup.policy") == "compact":
                    # The segment that is written to is never compacted.
                    before = self.world.random.randint(log.start, max(log.start, log.end - 1))
                    kept_ms = int(topic.config.get("delete.retention.ms", _DAY_MS))
                    log.compact(before, now_ms - kept_ms)
                    continue
                kept_ms = int(topic.config.get("retention.ms", 7 * _DAY_MS))
                if kept_ms >= 0:
                    first = log.first_since(now_ms - kept_ms)
                    log.drop_before(log.end if first is None else first)
                kept_bytes = int(topic.config.get("retention.bytes", -1))
                if kept_bytes >= 0:
                    log.drop_before(log.first_within(kept_bytes))

    def cut(self, unwritten_s: float = 30.0) -> None:
        """The power fails: what was not on the disk is lost, of each log a part of its own, as `chaos.power`.

        Args:
            unwritten_s: how long at most a record may be in memory alone.
        """
        self.stop()
        now_ms, random = self.world.now_ms(), self.world.random
        since_ms = now_ms - int(random.uniform(0, unwritten_s) * 1000)
        for topic in self.topics.values():
            for log in topic.logs:
                left = log.boundaries(since_ms)
                # A quarter of the logs loses nothing, a quarter everything not written out.
                log.truncate(
                    (left[-1], left[0], random.choice(left), random.choice(left))[random.randrange(4)]
                )
        self.coordinator.cut(since_ms)

    def start(self) -> None:
        """It comes back, and leads its partitions and groups a moment later."""
        if self.up:
            return
        self.up = True
        self.boot += 1
        self._led_from_s = self.world.now_s() + self.draw(self.pace.led_s)
        for topic in self.topics.values():
            for log in topic.logs:
                log.lead()
        self.coordinator.start(self.draw(self.pace.loaded_s))
