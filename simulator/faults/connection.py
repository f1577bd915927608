"""What faults have made of one connection: silent, slow. Pure; times are monotonic seconds."""

from __future__ import annotations

from simulator.faults.script import Fault


class ConnectionFaults:
    """The state of one connection under faults.

    Attributes:
        slowed_by: the fault that makes it slow; None: it is not.
    """

    def __init__(self) -> None:
        self._silent_until_s = 0.0
        self._slow_until_s = 0.0
        self._bytes_per_s = 0.0
        self._delay_s = 0.0
        self._free_at_s = 0.0
        self.slowed_by: Fault | None = None

    def silence(self, fault: Fault, now_s: float) -> None:
        self._silent_until_s = now_s + fault.duration_s

    def silent_for(self, now_s: float) -> float:
        """Seconds until it speaks again; 0: it does."""
        return max(0.0, self._silent_until_s - now_s)

    def slow_down(self, fault: Fault, now_s: float) -> None:
        self.slowed_by = fault
        self._slow_until_s = now_s + fault.duration_s
        self._bytes_per_s = fault.options["bytes_per_s"]
        self._delay_s = fault.options["delay_ms"] / 1000

    def wait_s(self, size: int, queued_s: float, now_s: float) -> float:
        """Seconds until a slow connection has sent a frame of `size` bytes that is ready since `queued_s`."""
        if self.slowed_by is None:
            return 0.0
        if now_s >= self._slow_until_s:
            self.slowed_by = None
            return 0.0
        self._free_at_s = max(self._free_at_s, now_s) + size / self._bytes_per_s
        return max(self._free_at_s, queued_s + self._delay_s) - now_s
