"""Requests by address that refill with time, as most exchanges count them."""

from __future__ import annotations

from typing import Final

# Addresses remembered; a server on localhost has one or two clients.
_MOST_ADDRESSES: Final = 1_000


class Budgets:
    """A budget of requests for each address.

    Args:
        burst: requests at once, at most.
        a_second: requests that are added in a second.
    """

    def __init__(self, burst: float, a_second: float) -> None:
        self._burst = burst
        self._a_second = a_second
        # What is left, and when that was so.
        self._left: dict[str, tuple[float, float]] = {}

    def spend(self, address: str, now_s: float) -> bool:
        """Spend one request; False if none is left."""
        if len(self._left) >= _MOST_ADDRESSES and address not in self._left:
            del self._left[next(iter(self._left))]
        left, since_s = self._left.get(address, (self._burst, now_s))
        left = min(self._burst, left + (now_s - since_s) * self._a_second)
        granted = left >= 1
        self._left[address] = (left - granted, now_s)
        return granted
