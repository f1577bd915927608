"""Compares the live order book with a fresh snapshot, at random times. Pure.

A second synchroniser, which receives the same diffs from before the request, brings the fresh snapshot to the
live book's update id; then both must hold the same levels wherever both know the prices.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from producers.order_book import BookSync, NeedSnapshot
from shared.messages import DepthMessage

# 50 weight in ten minutes for each symbol.
MEAN_INTERVAL_MS: Final = 600_000
# Between two attempts, when prices come near the end of the book's known range.
_AGAIN_MS: Final = 10_000


def differing_levels(one: BookSync, other: BookSync) -> int:
    """Number of prices at which two books of the same update id differ, where both know the price."""
    lowest = max(one.known_range[0], other.known_range[0])
    highest = min(one.known_range[1], other.known_range[1])
    count = 0
    for side, other_side in zip(one.sides, other.sides, strict=True):
        for price in side.keys() | other_side.keys():
            if lowest <= price <= highest:
                level, other_level = side.get(price), other_side.get(price)
                count += level is None or other_level is None or float(level[1]) != float(other_level[1])
    return count


class BookAudit:
    """Decides when, and holds the second book.

    Args:
        random: uniform on [0, 1); spreads the audits, so that they coincide with nothing periodic.
        mean_interval_ms: mean time between two audits, in message time.
    """

    def __init__(self, random: Callable[[], float], mean_interval_ms: int = MEAN_INTERVAL_MS) -> None:
        self._random = random
        self._mean_interval_ms = mean_interval_ms
        self._due_ms: int | None = None
        self._planned_ms = 0
        self._again_ms = 0
        self._fresh: BookSync | None = None
        self._asked = False

    def due(self, now_ms: int, *, urgent: bool) -> bool:
        """Whether to begin now; `urgent` if the book soon needs a wider range."""
        if self._due_ms is None:
            self._plan(now_ms)
        assert self._due_ms is not None
        if self._planned_ms - now_ms > _AGAIN_MS:  # the host's clock was set back
            self._plan(now_ms)
        if self._fresh is not None or self._asked or now_ms < self._again_ms:
            return False
        return urgent or now_ms >= self._due_ms

    def begin(self, now_ms: int) -> None:
        """Collect diffs from now on."""
        self._fresh = BookSync()
        self._plan(now_ms)

    def receive(self, diff: DepthMessage) -> bool:
        """Take a diff of the stream; whether a snapshot is wanted now."""
        if self._fresh is None:
            return False
        wanted = any(isinstance(effect, NeedSnapshot) for effect in self._fresh.receive(diff))
        self._asked = self._asked or wanted
        return wanted

    def receive_snapshot(self, snapshot: DepthMessage | None) -> None:
        """Take the answer; without one, or with one that is too old, this audit ends."""
        self._asked = False
        if self._fresh is None:
            return
        if snapshot is None or any(
            isinstance(effect, NeedSnapshot) for effect in self._fresh.receive_snapshot(snapshot)
        ):
            self._fresh = None

    def ready(self, live: BookSync) -> BookSync | None:
        """The fresh book, once it has the live one's update id; this ends the audit."""
        fresh = self._fresh
        if fresh is None or not fresh.synced or fresh.update_id != live.update_id:
            return None
        self._fresh = None
        return fresh

    def give_up(self) -> None:
        """The stream broke."""
        self._fresh = None

    def _plan(self, now_ms: int) -> None:
        self._due_ms = now_ms - int(self._mean_interval_ms * math.log(1.0 - self._random()))
        self._planned_ms, self._again_ms = now_ms, now_ms + _AGAIN_MS
