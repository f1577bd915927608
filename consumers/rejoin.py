"""Keeps a stream consumed: a client that lost its membership of the group is replaced by a new one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from consumers.membership import Rejoining
from shared.errors import BrokerUnavailable, MemberFenced
from shared.health import Health

log: Final = logging.getLogger(__name__)


class Runs(Protocol):
    """A member of the group, like `StreamConsumer`."""

    def run(self) -> None:
        """Returns at the stop. Raises MemberFenced or BrokerUnavailable if a new member may go on."""


def consume(label: str, join: Callable[[], Runs], stop: threading.Event, health: Health) -> None:
    """Consume until the stop.

    A new member reads on from the committed offsets, as a restarted process does.

    Args:
        label: of the stream, for the log.
        join: makes a member.

    Raises:
        BrokerError: another process uses our instance id.
        CryptoStreamError: as `StreamConsumer.run`.
    """
    rejoining = Rejoining()
    while True:
        member = join()
        try:
            member.run()
            return
        except (MemberFenced, BrokerUnavailable) as error:
            delay_s = rejoining.delay_s(error, time.monotonic())
            log.warning("%s: %s; joining the group again in %.1f s", label, error, delay_s)
            health.unready("group", f"{error}; joining again")
        if stop.wait(delay_s):
            return
