"""When Kafka takes nothing: the producer stops receiving, and REST fills the hole later. Pure.

A dead broker first fills the bounded queue of the client, so that short outages cost nothing. Then the
exchange is no longer read: a socket held back for long would be cut by the exchange anyway, its data old.
"""

from __future__ import annotations

import enum
from typing import Final

# The queue frees room with each batch delivered: of a broker that is only slow, it is not full for so long.
FULL_FOR_S: Final = 2.0
# Room for what the repair itself brings: the queue is drained to this part of it before the exchange is read.
LOW_WATER: Final = 0.1

REASON: Final = "Kafka takes no records"


class Change(enum.Enum):
    """What to do now."""

    SUSPEND = "suspend"
    RESUME = "resume"


class RepairMode:
    """Decides when to stop receiving and when to begin again.

    Args:
        queue_messages: how many records the client's queue takes.

    Attributes:
        active: nothing is received.
        entered: how many times it has begun.
    """

    def __init__(self, queue_messages: int) -> None:
        self._low_water = int(queue_messages * LOW_WATER)
        self.active = False
        self.entered = 0

    def step(self, congested_s: float, outstanding: int) -> Change | None:
        """Look at the queue.

        Args:
            congested_s: for how long it has taken no record.
            outstanding: records not yet acknowledged.
        """
        if not self.active and congested_s >= FULL_FOR_S:
            self.active = True
            self.entered += 1
            return Change.SUSPEND
        if self.active and congested_s == 0.0 and outstanding <= self._low_water:
            self.active = False
            return Change.RESUME
        return None
