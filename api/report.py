"""What the service tells of itself each second: readiness, and figures for `METRICS_PORT`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from api.history import History
from shared.metrics import ServiceMetrics


class Followed(Protocol):
    """What is told of the live half (`api.live.Live`)."""

    @property
    def unread(self) -> str | None: ...

    @property
    def bad_records(self) -> int: ...

    @property
    def rows_received(self) -> int: ...

    def waiting(self) -> tuple[int, int]: ...


class Report:
    """Kafka that is not read makes the service unready, until it is read again.

    A store that is away does not: what is live goes on, and requests for history say it themselves.

    Args:
        live: None without a broker.
    """

    def __init__(
        self,
        metrics: ServiceMetrics,
        history: History,
        live: Followed | None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._metrics = metrics
        self._history = history
        self._live = live
        self._now_ms = clock_ms
        self._received = 0

    def beat(self) -> None:
        """A sign of life, once a second."""
        metrics = self._metrics
        metrics.gauge("history_away", self._history.away is not None)
        if self._live is not None:
            unread = self._live.unread
            metrics.health.set_ready("kafka", unread is None, unread or "")
            received = self._live.rows_received
            metrics.count(received - self._received)
            self._received = received
            clients, pending_bytes = self._live.waiting()
            metrics.gauge("clients", clients)
            metrics.gauge("pending_bytes", pending_bytes)
            metrics.gauge("bad_records", self._live.bad_records)
        metrics.message(self._now_ms())
