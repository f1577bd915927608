"""The way of dead letters to Kafka. What becomes of one never ends the service: it is counted and said."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from shared.dead_letters import DeadLetter
from shared.kafka import LIBRDKAFKA_LOG, cause, producer_config
from shared.topics import DEAD_LETTERS

_LOG = logging.getLogger(__name__)

# Some dozens of the longest frames, of the 160 MB that a producer has.
_QUEUED_KB: Final = 16_384
_QUEUED_LETTERS: Final = 10_000
# An answer of REST may be rows of nothing else, and is 2 MB at most.
_WAITING_BYTES: Final = 4 * 2**20
# While the broker takes everything else, letters that it does not take hold the streams back for so long.
_PATIENCE_S: Final = 30.0
_SAY_AGAIN_S: Final = 60.0


class Letters:
    """A producer beside the one of the streams, whose records must be gapless: there one that is refused ends
    the process, which for bad input is wrong. Use from one thread.

    Args:
        taken: how many records of the streams the broker has taken so far.

    Attributes:
        lost: letters that Kafka refused, or that found no room while it took all else.
    """

    def __init__(
        self, bootstrap_servers: str, taken: Callable[[], int], *, memory_broker: bool = False
    ) -> None:
        config = producer_config(bootstrap_servers, "cryptostream-letters", memory_broker=memory_broker)
        # One letter that fails must not take the next ones with it, as a sequence of records would.
        self._config = config | {
            "enable.idempotence": False,
            "queue.buffering.max.messages": _QUEUED_LETTERS,
            "queue.buffering.max.kbytes": _QUEUED_KB,
            "error_cb": self._trouble,
        }
        self._made: Producer | None = None  # with the first letter: most processes never have one
        self._before: Producer | None = None  # what was sent in batches is still on its way here
        self._singly = False  # a broker that finds a batch too large refuses all letters in it
        self._taken = taken
        self._waiting: deque[DeadLetter] = deque()
        self._waiting_bytes = 0
        self._stuck: tuple[float, int] | None = None  # since when, and what was taken then
        self._said_s = -_SAY_AGAIN_S
        self.lost = 0

    @property
    def congested(self) -> bool:
        """Letters wait for room in the queue; no more frames should be read until there is."""
        return bool(self._waiting)

    @property
    def outstanding(self) -> int:
        """Letters that the broker has not acknowledged yet."""
        return sum(map(len, self._producers())) + len(self._waiting)

    def send(self, letter: DeadLetter) -> None:
        """Queue a letter; it never raises."""
        if self._waiting or not self._produce(letter):
            self._hold(letter)

    def _hold(self, letter: DeadLetter) -> None:
        size = _size(letter)
        if self._waiting_bytes + size > _WAITING_BYTES:
            self._lose("there is no room for more of them")
            return
        self._waiting.append(letter)
        self._waiting_bytes += size

    def poll(self) -> None:
        """Take delivery reports and move what waits; it never raises."""
        for producer in self._producers():
            try:
                producer.poll(0)
            except KafkaException as error:
                self._trouble(cause(error))
        while self._waiting and self._produce(self._waiting[0]):
            self._waiting_bytes -= _size(self._waiting.popleft())
        if self._waiting and self._given_up():
            for _ in range(len(self._waiting)):
                self._lose("Kafka takes all records but these")
            self._waiting.clear()
            self._waiting_bytes = 0

    def _produce(self, letter: DeadLetter) -> bool:
        """Whether the letter needs no more care; False: there is no room now."""
        if self._made is None:
            self._made = Producer(self._config, logger=LIBRDKAFKA_LOG)
        report = partial(self._delivered, letter, self._singly)
        try:
            self._made.produce(
                DEAD_LETTERS, letter.value, letter.key, on_delivery=report, headers=letter.headers
            )
        except BufferError:
            if self._stuck is None:
                self._stuck = time.monotonic(), self._taken()
            return False
        except KafkaException as error:
            self._lose(cause(error).str())
        return True

    def _given_up(self) -> bool:
        if self._stuck is None:
            return False
        since_s, taken = self._stuck
        return time.monotonic() - since_s >= _PATIENCE_S and self._taken() > taken

    def _producers(self) -> list[Producer]:
        return [producer for producer in (self._before, self._made) if producer is not None]

    def _delivered(
        self,
        letter: DeadLetter,
        singly: bool,
        error: KafkaError | None,
        record: Message,  # noqa: ARG002
    ) -> None:
        if error is None:
            self._stuck = None
        elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE and not singly:
            self._send_singly()
            self._hold(letter)
        else:
            self._lose(error.str())

    def _send_singly(self) -> None:
        """Slower by far, so only from the first batch on that was too large for the broker."""
        if not self._singly:
            self._singly = True
            self._config["batch.num.messages"] = 1
            self._before, self._made = self._made, None

    def _lose(self, reason: str) -> None:
        self.lost += 1
        self._say("dead letter %d could not be written: %s; see `cryptostream topics`", self.lost, reason)

    def _trouble(self, error: KafkaError) -> None:
        self._say("Kafka, of dead letters: %s; librdkafka goes on trying", error.str())

    def _say(self, text: str, *values: object) -> None:
        """Not of each: a flood of bad frames is not to become one of lines."""
        now_s = time.monotonic()
        if now_s - self._said_s >= _SAY_AGAIN_S:
            self._said_s = now_s
            _LOG.warning(text, *values)


def _size(letter: DeadLetter) -> int:
    return len(letter.key or b"") + len(letter.value or b"")
