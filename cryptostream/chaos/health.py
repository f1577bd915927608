"""Whether a stack is complete at a moment, and how long it took to become so again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

# Reports come once a second and records are always on their way: what was received less than a second ago
# is no lag.
_LAG_S: Final = 1.0
_PRODUCER: Final = "producer"
# What the producer still asks REST for.
_AWAITED: Final = ("pending_fills", "missing_trades", "missing_bars", "doubtful_trades")


@dataclass(frozen=True, slots=True)
class Report:
    """What a service said of itself.

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


def services_of(intervals: Iterable[str]) -> tuple[str, ...]:
    """All services of a stack, by the names of their reports."""
    streams = (*(f"klines-{interval}" for interval in intervals), "trades", "book", "quotes", "ledger")
    return (_PRODUCER, *(f"consumer-{stream}" for stream in streams))


def unheard(reports: Mapping[str, Report], services: Sequence[str], since_ms: int) -> str | None:
    """The first service that has not reported since then, in words; None if all have."""
    for service in services:
        report = reports.get(service)
        if report is None or report.time_ms < since_ms:
            return f"{service} has not reported yet"
    return None


def incomplete_because(
    reports: Mapping[str, Report], services: Sequence[str], since_ms: int, holes: int, *, market_open: bool
) -> str | None:
    """The first reason why the stack is not complete; None if it is.

    Complete is: every service has reported since `since_ms`, nothing waits for a fill, all books are
    synchronised, no consumer is a second behind, and no id is missing below a stored one.

    Args:
        holes: ids missing below a stored one.
        market_open: no book can be synchronised in a market that has stopped.
    """
    silent = unheard(reports, services, since_ms)
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
    """Times from the last disturbance to the first moment at which all is complete again, in seconds.

    Disturbances that follow each other before that are one: it is over when the last of them is.

    Attributes:
        times_s: of all recoveries so far.
        disturbed_ms: the disturbance that is not yet recovered from; None if there is none.
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


class Quiet:
    """Whether the producer has passed on all that it got: two reports after each other that say the same."""

    def __init__(self, since_ms: int) -> None:
        self._since_ms = since_ms
        self._before: Report | None = None
        self._quiet = False

    def receive(self, report: Report | None) -> bool:
        """Take the newest report, again if there is no newer one."""
        if report is None or report.time_ms <= self._since_ms:
            return False
        before = self._before
        if before is None or report.time_ms > before.time_ms:
            settled = not any(report.gauges.get(name, 0) for name in _AWAITED)
            self._quiet = settled and before is not None and before.messages == report.messages
            self._before = report
        return self._quiet
