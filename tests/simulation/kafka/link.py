"""A client's connection to the broker: requests in order, answers later, and coming back after a loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError

from tests.simulation.kafka.broker import Broker
from tests.simulation.kafka.log import Refused
from tests.simulation.kafka.messages import RETRIABLE, error_of, failure

Answer = TypeVar("Answer")
# Gives an answer, or the error instead.
Reply = Callable[[Any], None]

# librdkafka's reconnect.backoff.ms and reconnect.backoff.max.ms; retry.backoff.ms.
_RECONNECT_S: Final = 0.1
_RECONNECT_MOST_S: Final = 10.0
RETRY_S: Final = 0.1
# The same error is said again after this time, save the first two.
_SAY_AGAIN_S: Final = 30.0
_FIRST_ERRORS: Final = 2
_LOST: Final = object()  # no answer came


class Link:
    """One client's connection.

    Attributes:
        alive: false once its process was killed: nothing that it does, or is told, has an effect any more.
        connected: the broker's boot that this is connected to; 0 while it is not.
        reached: whether it has ever been connected.
        errors: for the client's `error_cb`.

    Args:
        up, down: called when the connection was made, and lost.
        lasting: false for a client that asks once and is forgotten: it connects again only to ask.
    """

    def __init__(
        self,
        broker: Broker,
        up: Callable[[], None] = lambda: None,
        down: Callable[[], None] = lambda: None,
        *,
        lasting: bool = True,
    ) -> None:
        self.broker = broker
        self.world = broker.world
        self.alive = True
        self.connected = 0
        self.reached = False
        self.errors: list[KafkaError] = []
        self._up = up
        self._down = down
        self._lasting = lasting
        self._trying = False
        self._sent = 0
        self._arrived = 0
        self._survives = 0  # of a killed process: the last request that still arrives
        self._arrival_s = 0.0
        self._return_s = 0.0
        self._failed = 0
        self._said_s = 0.0
        self._away = False  # and the application was told
        self.want()

    # -- the connection ----------------------------------------------------------------------------------

    def want(self) -> None:
        """Connect, if this is not connected."""
        if not self.connected and not self._trying and self.alive:
            self._trying = True
            self.world.later(self.broker.draw(self.broker.pace.hop_s), self._try)

    def _try(self) -> None:
        if not self.alive:
            return
        if self.broker.answers:
            self._trying = False
            self._failed = 0
            self._away = False
            self.reached = True
            self.connected = self.broker.boot
            self.broker.links[self] = partial(self._lose, self.connected)
            self._up()
            return
        now_s = self.world.now_s()
        if self._failed < _FIRST_ERRORS or now_s >= self._said_s + _SAY_AGAIN_S:
            self._said_s = now_s
            self._complain("Connect to broker failed: Connection refused")
        # Doubled each time, and between a quarter less and a half more.
        pause_s = min(_RECONNECT_S * 2.0**self._failed, _RECONNECT_MOST_S)
        self._failed += 1
        self.world.later(pause_s * self.world.random.uniform(0.75, 1.5), self._try)

    def _lose(self, boot: int) -> None:
        if self.alive and self.connected == boot:
            self.connected = 0
            self._complain("Disconnected")
            self._down()
            if self._lasting:
                self.want()

    def _complain(self, text: str) -> None:
        self.errors.append(error_of(KafkaError._TRANSPORT, text))
        if not self._away:
            self._away = True
            self.errors.append(error_of(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))

    def die(self) -> None:
        """The process was killed: of the requests on their way, only the first few arrive."""
        if self.alive:
            self.alive = False
            self._survives = self.world.random.randint(self._arrived, self._sent)
            self.broker.links.pop(self, None)

    def close(self) -> None:
        """The client is closed: what it has sent arrives, and no answer is waited for."""
        self.alive = False
        self._survives = self._sent
        self.broker.links.pop(self, None)

    # -- requests ----------------------------------------------------------------------------------------

    def send(self, work: Callable[[Reply], None], answered: Callable[[Any], None]) -> None:
        """Let the broker do `work`, which replies once, at any time, or raises Refused.

        Both get lost with the connection. Requests arrive in the order in which they were sent.
        """
        boot = self.connected
        if not boot or not self.alive:
            return
        world, broker = self.world, self.broker
        self._sent += 1
        number = self._sent
        now_s = world.now_s()
        self._arrival_s = max(self._arrival_s, now_s + broker.draw(broker.pace.hop_s))

        def reply(answer: Any) -> None:
            # Answers come in order too: it is one connection.
            at_s = world.now_s()
            self._return_s = max(self._return_s, at_s + broker.draw(broker.pace.hop_s))
            world.later(self._return_s - at_s, lambda: give(answer))

        def give(answer: Any) -> None:
            if self.alive and self.connected == boot and broker.boot == boot and broker.up:
                answered(answer)

        def arrive() -> None:
            self._arrived = number
            if broker.boot != boot or not broker.up or not (self.alive or number <= self._survives):
                return
            try:
                work(reply)
            except Refused as refused:
                reply(refused)

        world.later(self._arrival_s - now_s, lambda: broker.receive(arrive), quiet=True)

    def ask(self, work: Callable[[], Any], answered: Callable[[Any], None]) -> None:
        """`send` what the broker answers at once."""
        self.send(lambda reply: reply(work()), answered)

    def call(
        self, work: Callable[[], Answer], timeout_s: float, silent: int = KafkaError._TIMED_OUT
    ) -> Answer:
        """Block until the broker has answered; asked again while it is away or not ready.

        Args:
            silent: error of a broker that cannot be reached in time.

        Raises:
            KafkaException: that, or what the broker says.
        """
        world = self.world
        deadline_s = world.now_s() + timeout_s
        while True:
            self.want()
            world.wait(lambda: self.connected != 0, deadline_s - world.now_s())
            if not self.connected:
                raise failure(silent)
            answer = self._call_once(work, deadline_s - world.now_s())
            if isinstance(answer, Refused):
                if answer.code not in RETRIABLE or world.now_s() + RETRY_S >= deadline_s:
                    raise failure(answer.code)
                world.wait(lambda: False, RETRY_S)
            elif answer is not _LOST:
                found: Answer = answer
                return found
            elif world.now_s() >= deadline_s:
                raise failure(KafkaError._TIMED_OUT)

    def _call_once(self, work: Callable[[], Any], timeout_s: float) -> Any:
        boot = self.connected
        answers: list[Any] = []
        self.ask(work, answers.append)
        self.world.wait(lambda: bool(answers) or self.connected != boot, timeout_s)
        return answers[0] if answers else _LOST
