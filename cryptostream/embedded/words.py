"""What the services said last, and which of their processes said it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Words:
    """The newest message of each service on `pipeline.metrics`."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}

    def receive(self, metrics: dict[str, Any], heard_s: float) -> None:
        """Take a message; `heard_s` is of a clock that only goes forward."""
        self._said[metrics["service"], metrics["instance"]] = heard_s, metrics

    def __iter__(self) -> Iterator[tuple[float, dict[str, Any]]]:
        """When each was heard, and what it says."""
        return iter(self._said.values())

    def of(self, service: str) -> tuple[float, dict[str, Any]] | None:
        return next((said for (name, _), said in self._said.items() if name == service), None)

    def ages_s(self, now_s: float, pid: int | None) -> dict[str, float]:
        """Seconds since each service has spoken out of this process.

        What the one before it has said last is no word on what it missed: a producer speaks when its series
        stand, and not before.
        """
        ages: dict[str, float] = {}
        for (service, _), (heard_s, metrics) in self._said.items():
            if pid is not None and metrics.get("pid") == pid:
                ages[service] = min(now_s - heard_s, ages.get(service, float("inf")))
        return ages
