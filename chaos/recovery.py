"""Whether a stack is complete, and how long its recoveries took. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

# Reports come once a second and records are always on their way: less than a second is no lag.
_LAG_S: Final = 1.0
_PRODUCER: Final = "producer"
# Gauges of what the producer still fetches over REST.
_AWAITED: Final = ("pending_fills", "missing_trades", "missing_bars", "doubtful_trades")


@dataclass(frozen=True, slots=True)
class Report:
    """A report of a service.

    Attributes:
        time_ms: when, by the machine's clock.
        messages: counted since its start.
    """

    time_ms: int
    messages: int
    messages_per_s: float = 0.0
    lag_messages: int = 0
    lag_s: float = 0.0
    dead_letters: int = 0
    gauges: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Report:
        """From a message of `pipeline.metrics`."""
        return cls(
            said["time_ms"],
            said["messages"],
            said["messages_per_s"],
            said["lag_messages"],
            said["lag_seconds"],
            said["dead_letters"],
            said["gauges"],
        )


def all_fetched(report: Report) -> bool:
    """Whether the producer has nothing left to fetch."""
    return not any(report.gauges.get(name, 0) for name in _AWAITED)


def services_of(intervals: Iterable[str]) -> tuple[str, ...]:
    """Names of all services of a stack, as in their reports."""
    streams = (*(f"klines-{interval}" for interval in intervals), "trades", "book", "quotes", "ledger")
    return (_PRODUCER, *(f"consumer-{stream}" for stream in streams))


def silent_service(reports: Mapping[str, Report], services: Sequence[str], since_ms: int) -> str | None:
    """The first service without a report since then, in words; None if all have reported."""
    for service in services:
        report = reports.get(service)
        if report is None or report.time_ms < since_ms:
            return f"{service} has not reported yet"
    return None


def incomplete_because(
    reports: Mapping[str, Report], services: Sequence[str], since_ms: int, holes: int, *, market_open: bool
) -> str | None:
    """The first reason why the stack is not complete; None if it is.

    Complete: every service has reported since `since_ms`, nothing waits for a fill, all books are synced, no
    consumer is a second behind, and no id is missing below a stored one.

    Args:
        holes: ids missing below a stored one.
        market_open: books are not checked in a stopped market, where none can be synced.
    """
    silent = silent_service(reports, services, since_ms)
    if silent is not None:
        return silent
    for service, report in reports.items():
        if report.lag_messages and report.lag_s >= _LAG_S:
            return f"{service} is {report.lag_s:.1f} s behind"
    gauges = reports[_PRODUCER].gauges
    for name in _AWAITED:
        if gauges.get(name, 0):
            return f"{name} is {gauges[name]:g}"
    if market_open and gauges.get("synced_books", 0) < gauges.get("books", 1):
        return f"{gauges.get('synced_books', 0):g} of {gauges.get('books', 0):g} books are synchronised"
    return f"{holes} ids are missing" if holes else None


class RecoveryMeter:
    """Seconds from the last disturbance until all is complete again.

    Disturbances before a recovery count as one, from the last of them.

    Attributes:
        times_s: of all recoveries so far.
        disturbed_ms: the disturbance without a recovery yet; None if there is none.
    """

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self.disturbed_ms: int | None = None
        self._newest_ms = 0

    def disturbed(self, at_ms: int) -> None:
        if at_ms > self._newest_ms:
            self._newest_ms = self.disturbed_ms = at_ms

    def sample(self, now_ms: int, *, complete: bool) -> None:
        """`complete`: by reports that are all younger than the disturbance."""
        if complete and self.disturbed_ms is not None:
            self.times_s.append((now_ms - self.disturbed_ms) / 1000)
            self.disturbed_ms = None
