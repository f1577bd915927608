"""When a member of a consumer group joins again by itself, and when it must not (pure).

A broker that was frozen or lost the end of its memory gives a slot (static membership) to whichever request
it finds first, and refuses the others for good, though all of them are ours. Whether a slot has another
holder that lives is seen by what follows: he takes it again and again.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from confluent_kafka import KafkaError

from consumers.backoff import Backoff
from shared.errors import BrokerError, BrokerUnavailable, SlotTaken

# Two processes of one slot take it from each other every few seconds; a broker that came back does it once.
MOST_TAKEN: Final = 3
WITHIN_S: Final = 60.0
_FIRST_S: Final = 1.0


def slot_taken(error: KafkaError, slot: str | None) -> SlotTaken | None:
    """The error of a member whose slot the broker has given to another; None if this is none.

    librdkafka calls it fatal, and nothing else of a consumer: this client can never be used again.
    """
    if slot is None or error.code() not in (KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID):
        return None
    return SlotTaken(slot, error.str())


class Rejoining:
    """One member's losses of its membership, one after another."""

    def __init__(self, backoff: Backoff | None = None) -> None:
        self._backoff = backoff or Backoff()
        self._taken: deque[float] = deque()

    def delay_s(self, error: SlotTaken | BrokerUnavailable, now_s: float) -> float:
        """Seconds to wait before a new client joins the group.

        Raises:
            BrokerError: another process holds the slot.
        """
        if isinstance(error, BrokerUnavailable):
            return self._backoff.next_delay_s(None)
        self._taken.append(now_s)
        while self._taken[0] <= now_s - WITHIN_S:
            self._taken.popleft()
        times = len(self._taken)
        if times > MOST_TAKEN:
            raise BrokerError(
                f"INSTANCE: another process took the slot {error.slot}, {times} times within a minute "
                f"({error.reason}); give each replica a name of its own, or stop the other one"
            )
        # Twice as long each time, so that of two processes the one that came first gives up first.
        return _FIRST_S * 2.0 ** (times - 1)
