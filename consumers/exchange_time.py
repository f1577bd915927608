"""What time it is at the exchange, by what a deployment's own records prove. Pure.

The ledger expects bars by the exchange's clock, also while the producer that should bring them is dead. No
host's clock is believed alone: a record with a time of the exchange sets this clock, and the clocks of the
services only carry it on, second by second. One that jumps carries nothing.
"""

from __future__ import annotations

from typing import Final

# Between two reports of a service lies a second; what is longer is a pause or a jump of its clock.
_STEP_MS: Final = 60_000
# How far a time of the exchange may lie ahead of what was known, or of the host that received it.
_AHEAD_MS: Final = 24 * 3_600_000
_SERVICES: Final = 10_000


class ExchangeTime:
    """The newest time of the exchange that is known.

    Attributes:
        now_ms: never goes back; None before the first record that tells.
    """

    def __init__(self, now_ms: int | None = None) -> None:
        self.now_ms = now_ms
        # Of each service: its clock when it was last heard, and what that stands for at the exchange.
        self._services: dict[str, tuple[int, int]] = {}
        self._received_ms: int | None = None  # the host's time at which the newest time was received

    def receive(self, time_ms: int, received_ms: int) -> None:
        """Take a time that the exchange has given, and when a host received it.

        One far ahead of both is no time of the exchange.
        """
        newest_ms = self.now_ms
        if newest_ms is None or newest_ms <= time_ms <= max(newest_ms, received_ms) + _AHEAD_MS:
            self.now_ms, self._received_ms = time_ms, received_ms

    def tick(self, service: str, host_ms: int) -> None:
        """Take the host's time at which a service has spoken; it speaks once a second."""
        if self.now_ms is None:
            return
        if self._received_ms is not None and host_ms <= self._received_ms:
            # Said before the newest time was heard, and only read later: it carries nothing on.
            if len(self._services) < _SERVICES or service in self._services:
                self._services[service] = (host_ms, self.now_ms - (self._received_ms - host_ms))
            return
        heard_ms, exchange_ms = self._services.get(service, (host_ms, self.now_ms))
        step_ms = host_ms - heard_ms
        if not 0 <= step_ms <= _STEP_MS:
            step_ms, exchange_ms = 0, self.now_ms
        if len(self._services) < _SERVICES or service in self._services:
            self._services[service] = (host_ms, exchange_ms + step_ms)
        self.now_ms = max(self.now_ms, exchange_ms + step_ms)
