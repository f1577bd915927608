"""The exchange's time, by the records of a deployment. Pure.

The ledger expects bars by the exchange's clock, even while their producer is dead. No host's clock is trusted
alone: a record with a time of the exchange sets this clock, and the services' clocks only advance it, second
by second. A clock that jumps does not advance it.
"""

from __future__ import annotations

from typing import Final

# A service reports once a second; a longer step is a pause, or a jump of its clock.
_STEP_MS: Final = 60_000
# How far a time of the exchange may lie ahead of the newest one, or of the host's time of reception.
_AHEAD_MS: Final = 24 * 3_600_000
_SERVICES: Final = 10_000


class ExchangeTime:
    """The newest known time of the exchange.

    Attributes:
        now_ms: never goes back; None before the first record with a time.
    """

    def __init__(self, now_ms: int | None = None) -> None:
        self.now_ms = now_ms
        # By service: its clock at its last report, and the exchange's time at that moment.
        self._services: dict[str, tuple[int, int]] = {}
        self._received_ms: int | None = None  # the host's time of reception of the newest time

    def receive(self, time_ms: int, received_ms: int) -> None:
        """Enter a time of the exchange, and when a host received it; one far ahead of both is ignored."""
        newest_ms = self.now_ms
        if newest_ms is None or newest_ms <= time_ms <= max(newest_ms, received_ms) + _AHEAD_MS:
            self.now_ms, self._received_ms = time_ms, received_ms

    def tick(self, service: str, host_ms: int) -> None:
        """Enter the host's time of a service's report, which comes once a second."""
        if self.now_ms is None:
            return
        if self._received_ms is not None and host_ms <= self._received_ms:
            # Reported before the newest time was received, and read later: it does not advance the clock.
            exchange_ms = self.now_ms - (self._received_ms - host_ms)
        else:
            heard_ms, exchange_ms = self._services.get(service, (host_ms, self.now_ms))
            step_ms = host_ms - heard_ms
            exchange_ms = exchange_ms + step_ms if 0 <= step_ms <= _STEP_MS else self.now_ms
            self.now_ms = max(self.now_ms, exchange_ms)
        if len(self._services) < _SERVICES or service in self._services:
            self._services[service] = (host_ms, exchange_ms)
