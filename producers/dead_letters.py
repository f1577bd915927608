"""Sends dead letters to Kafka. One that cannot be written is counted and logged; the service goes on."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sized
from functools import partial
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producers.progress import BadProgress
from shared.dead_letters import DeadLetter, Origin, dead_letter
from shared.kafka import KAFKA, KafkaClients, cause, producer_config
from shared.messages import message_key
from shared.topics import DEAD_LETTERS, PROGRESS

_LOG = logging.getLogger(__name__)

SERVICE: Final = "producer"

# Some dozens of the longest frames; a producer process has 160 MB.
_QUEUED_KB: Final = 16_384
_QUEUED_LETTERS: Final = 10_000
# A REST answer has at most 2 MB, and all its rows may be bad.
_WAITING_BYTES: Final = 4 * 2**20
# While the broker accepts other records, refused dead letters hold the streams back for this long.
_GIVE_UP_S: Final = 30.0
_LOG_AGAIN_S: Final = 60.0


class DeadLetterProducer:
    """A producer of its own: the streams' producer is gapless, so that one refused record ends the process,
    which bad input must not. Use from one thread.

    Args:
        delivered: number of records of the streams that the broker has acknowledged.

    Attributes:
        lost: number of dead letters that Kafka refused, or had no room for while it accepted other records.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        delivered: Callable[[], int],
        *,
        memory_broker: bool = False,
        kafka: KafkaClients = KAFKA,
    ) -> None:
        self._kafka = kafka
        config = producer_config(bootstrap_servers, "cryptostream-letters", memory_broker=memory_broker)
        # A dead letter that fails must not fail the next ones, as in an idempotent sequence.
        self._config = config | {
            "enable.idempotence": False,
            "queue.buffering.max.messages": _QUEUED_LETTERS,
            "queue.buffering.max.kbytes": _QUEUED_KB,
            "error_cb": self._log_error,
        }
        self._producer: Producer | None = None  # created with the first dead letter: most processes have none
        self._batching: Producer | None = None  # the former one, until it has delivered
        self._unbatched = False  # a broker refuses all records of a batch that is too large
        self._streams_delivered = delivered
        self._waiting: deque[DeadLetter] = deque()
        self._waiting_bytes = 0
        self._stuck: tuple[float, int] | None = None  # since when, and what was delivered then
        self._logged_s = -_LOG_AGAIN_S
        self.lost = 0

    @property
    def held_back(self) -> Sized:
        """Dead letters that wait for room in the queue; no frames should be read until there is."""
        return self._waiting

    @property
    def outstanding(self) -> int:
        """Number of dead letters that the broker has not acknowledged yet."""
        return sum(map(len, self._producers())) + len(self._waiting)

    def send(self, letter: DeadLetter) -> None:
        """Queue a dead letter; never raises."""
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
        """Take delivery reports and send waiting dead letters; never raises."""
        for producer in self._producers():
            try:
                producer.poll(0)
            except KafkaException as error:
                self._log_error(cause(error))
        while self._waiting and self._produce(self._waiting[0]):
            self._waiting_bytes -= _size(self._waiting.popleft())
        if self._waiting and self._given_up():
            for _ in range(len(self._waiting)):
                self._lose("Kafka accepts other records, but not these")
            self._waiting.clear()
            self._waiting_bytes = 0

    def _produce(self, letter: DeadLetter) -> bool:
        """Whether the dead letter is sent or lost; False: there is no room now."""
        if self._producer is None:
            self._producer = self._kafka.producer(self._config)
        report = partial(self._delivered, letter, self._unbatched)
        try:
            self._producer.produce(
                DEAD_LETTERS, letter.value, letter.key, on_delivery=report, headers=letter.headers
            )
        except BufferError:
            if self._stuck is None:
                self._stuck = time.monotonic(), self._streams_delivered()
            return False
        except KafkaException as error:
            self._lose(cause(error).str())
        return True

    def _given_up(self) -> bool:
        if self._stuck is None:
            return False
        since_s, delivered = self._stuck
        return time.monotonic() - since_s >= _GIVE_UP_S and self._streams_delivered() > delivered

    def _producers(self) -> list[Producer]:
        return [producer for producer in (self._batching, self._producer) if producer is not None]

    def _delivered(
        self,
        letter: DeadLetter,
        unbatched: bool,
        error: KafkaError | None,
        record: Message,  # noqa: ARG002
    ) -> None:
        if error is None:
            self._stuck = None
        elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE and not unbatched:
            self._stop_batching()
            self._hold(letter)
        else:
            self._lose(error.str())

    def _stop_batching(self) -> None:
        """Send records singly, which is far slower: only after a batch was too large for the broker."""
        if not self._unbatched:
            self._unbatched = True
            self._config["batch.num.messages"] = 1
            self._batching, self._producer = self._producer, None

    def _lose(self, reason: str) -> None:
        self.lost += 1
        self._log_rarely(
            "dead letter %d could not be written: %s; see `cryptostream topics`", self.lost, reason
        )

    def _log_error(self, error: KafkaError) -> None:
        self._log_rarely("Kafka (dead letters): %s; librdkafka retries", error.str())

    def _log_rarely(self, text: str, *values: object) -> None:
        """Log at most once a minute: a flood of bad frames must not flood the log."""
        now_s = time.monotonic()
        if now_s - self._logged_s >= _LOG_AGAIN_S:
            self._logged_s = now_s
            _LOG.warning(text, *values)


def _size(letter: DeadLetter) -> int:
    return len(letter.key or b"") + len(letter.value or b"")


class Rejections:
    """Makes dead letters of what the producer rejects.

    Args:
        send: takes the dead letter; never raises.
        newest_trade: the highest trade number known of a symbol, None if there is none or it is in doubt.

    Attributes:
        count: number of rejections.
    """

    def __init__(
        self,
        exchange: str,
        send: Callable[[DeadLetter], None],
        newest_trade: Callable[[str], int | None] = lambda _symbol: None,
    ) -> None:
        self._exchange = exchange
        self._send = send
        self._newest_trade = newest_trade
        self.count = 0

    def reject(self, source: str, symbol: str, reason: str, value: bytes) -> None:
        """Send bytes that break the contract; `source` is `websocket:<stream>` or `rest:<path>`."""
        self.count += 1
        key = message_key(self._exchange, symbol)
        newest = self._newest_trade(symbol)
        origin = Origin(reason, source, -1, -1, SERVICE, newest_trade=-1 if newest is None else newest)
        self._send(dead_letter(origin, key, value))

    def reject_progress(self, bad: BadProgress) -> None:
        """Send a record of `pipeline.progress` that breaks its contract."""
        self.count += 1
        origin = Origin(bad.reason, PROGRESS, bad.partition, bad.offset, SERVICE)
        self._send(dead_letter(origin, bad.key, bad.value))
