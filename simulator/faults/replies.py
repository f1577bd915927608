"""The faults of replies to subscriptions. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulator.faults.schedule import Draw, Occasions, Strike
from simulator.faults.script import Fault


class ReplyFaults:
    """Decides subscriptions by their number, whichever connection sends them.

    Args:
        now_ms: the market's time.
    """

    def __init__(self, faults: Sequence[Fault], seed: int, begin_ms: int, now_ms: Callable[[], int]) -> None:
        self._seed = seed
        self._now_ms = now_ms
        self._armed: list[tuple[Fault, Occasions]] = []
        self._number = 0
        for fault in faults:
            self.add(fault, begin_ms)

    def add(self, fault: Fault, begin_ms: int) -> None:
        """Add a fault whose times count from `begin_ms`."""
        if fault.declared.place == "reply":
            self._armed.append((fault, Occasions(fault, Draw(self._seed, fault), begin_ms)))

    def meet(self) -> tuple[Fault, bool] | None:
        """The fault of the next subscription, and whether it begins a firing; None: it is answered right."""
        self._number += 1
        for fault, occasions in self._armed:
            strike = occasions.meet(self._now_ms(), "subscription", self._number)
            if strike is not Strike.NO:
                return fault, strike is Strike.FIRST
        return None
