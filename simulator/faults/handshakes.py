"""WebSockets that are not opened: decided by the market's time alone; pure."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.faults.schedule import Draw, spans
from simulator.faults.script import Fault


class HandshakeFaults:
    """Which fault refuses a new connection; those that are open stay as they are."""

    def __init__(self, faults: Sequence[Fault], seed: int, begin_ms: int) -> None:
        self._seed = seed
        self._refusals: list[tuple[Fault, list[tuple[int, float]]]] = []
        for fault in faults:
            self.add(fault, begin_ms)

    def add(self, fault: Fault, begin_ms: int) -> None:
        """One more, whose times count from `begin_ms`."""
        if fault.declared.place == "handshake":
            self._refusals.append((fault, spans(fault, Draw(self._seed, fault), begin_ms)))

    def meet(self, now_ms: int) -> Fault | None:
        """The fault that refuses a connection now; None: it may open."""
        for fault, covered in self._refusals:
            if any(begin <= now_ms < end for begin, end in covered):
                return fault
        return None
