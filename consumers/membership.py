"""When a fenced member of a consumer group rejoins by itself, and when it must not (pure).

A broker that was frozen, or lost recent state, accepts the first request it finds for a static member's
instance id and fences the others, though all of them are ours. A second living process with the same id shows
by fencing us again and again.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from confluent_kafka import KafkaError

from shared.backoff import Backoff, consumer_backoff
from shared.errors import BrokerError, BrokerUnavailable, MemberFenced

# Two processes with one id fence each other every few seconds; a broker that came back fences once.
MAX_FENCED: Final = 3
WITHIN_S: Final = 60.0
_FIRST_S: Final = 1.0


def fenced(error: KafkaError, instance_id: str | None) -> MemberFenced | None:
    """The error of a static member that was fenced; None for any other error.

    It is the one error that librdkafka calls fatal for a consumer: this client can never be used again.
    """
    if instance_id is None or error.code() not in (KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID):
        return None
    return MemberFenced(instance_id, error.str())


class Rejoining:
    """Delays before one member joins its group again."""

    def __init__(self, backoff: Backoff | None = None) -> None:
        self._backoff = backoff or consumer_backoff()
        self._fenced_s: deque[float] = deque()

    def delay_s(self, error: MemberFenced | BrokerUnavailable, now_s: float) -> float:
        """Seconds to wait before a new client joins the group.

        Raises:
            BrokerError: another process uses the instance id.
        """
        if isinstance(error, BrokerUnavailable):
            return self._backoff.failed()
        self._fenced_s.append(now_s)
        while self._fenced_s[0] <= now_s - WITHIN_S:
            self._fenced_s.popleft()
        times = len(self._fenced_s)
        if times > MAX_FENCED:
            raise BrokerError(
                f"INSTANCE: another process joined the group as {error.instance_id}, {times} times within a "
                f"minute ({error.reason}); give each replica a name of its own, or stop the other one"
            )
        # Doubled each time, so that of two processes the earlier one gives up first.
        return _FIRST_S * 2.0 ** (times - 1)
