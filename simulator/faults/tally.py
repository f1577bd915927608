"""Counts the firings of every fault and the records that it struck."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from simulator.faults.script import Fault

_RECORDS: Final = ("trade", "kline", "depth", "quote", "kline_live", "rest", "reply")


class Tally:
    """Firings and records by fault.

    Args:
        wall_ms: the wall clock, by which recovery is measured.
    """

    def __init__(self, faults: Sequence[Fault], wall_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._entries: list[dict[str, Any]] = []
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Add a fault; its index is its position."""
        self._entries.append(
            {
                "kind": fault.kind,
                "fired": 0,
                "records": dict.fromkeys(
                    ("trade", "kline", "depth", "quote", "kline_live", "rest", "reply"), 0
                ),
                "last_fired_wall_ms": None,
            }
        )

    def fired(self, fault: Fault) -> None:
        """A firing has begun."""
        entry = self._entries[fault.index]
        entry["fired"] += 1
        entry["last_fired_wall_ms"] = self._wall_ms()

    def goes_on(self, fault: Fault) -> None:
        self._entries[fault.index]["last_fired_wall_ms"] = self._wall_ms()

    def hit(self, fault: Fault, record: str, count: int = 1) -> None:
        """Records of a kind (a stream's, or "kline_live" for open bars, "rest", or "reply") were struck."""
        self._entries[fault.index]["records"][record] += count

    def listed(self) -> list[dict[str, Any]]:
        """One entry for each fault, in the script's order."""
        return [{**entry, "records": dict(entry["records"])} for entry in self._entries]
