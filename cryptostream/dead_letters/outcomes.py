"""What becomes of a dead letter at a replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from consumers.measurements import Point
from shared.messages import LedgerMessage


class Republish(NamedTuple):
    """The message passes: publish it on `topic`, then these events on the ledger.

    Attributes:
        more: further messages of the same frame, each with its topic and key.
    """

    topic: str
    key: bytes
    value: bytes
    events: Sequence[LedgerMessage] = ()
    more: Sequence[tuple[str, bytes, bytes]] = ()


class StorePoint(NamedTuple):
    """The point can be stored: write it if it replaces nothing newer, then publish these ledger events."""

    point: Point
    events: Sequence[LedgerMessage]


class Obsolete(NamedTuple):
    """The message has no use any more; it counts as replayed."""

    reason: str


class StillBroken(NamedTuple):
    """The message still breaks the contract, or must not be replayed, and stays a dead letter."""

    reason: str


Outcome = Republish | StorePoint | Obsolete | StillBroken

LATE_OPEN_BAR: Final = "an update of an open bar, which has been overtaken"
