"""Monitors a running stack by its metrics and completeness events."""

from __future__ import annotations

from typing import Any

import orjson

from chaos.ledger_oracle import Claims
from chaos.recovery import Report
from cryptostream.run.topic_tail import TopicTail
from shared import messages
from shared.errors import InvalidMessage
from shared.topics import LEDGER, METRICS


class Monitor:
    """The newest report of each service, and all claims, from the beginning of the topics.

    Attributes:
        reports: by service, as `producer`, `consumer-klines-1m`.
        bad: ledger records that break the contract.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        topics = LEDGER, METRICS
        self._tail = TopicTail(bootstrap_servers, topics, "cryptostream.chaos", from_beginning=True)
        self.claims = Claims()
        self.reports: dict[str, Report] = {}
        self.bad = 0

    def poll(self, timeout_s: float) -> None:
        """Take new records; waits up to `timeout_s` for the first."""
        for topic, value in self._tail.poll(timeout_s):
            if topic == METRICS:
                metrics: dict[str, Any] = orjson.loads(value)
                self.reports[metrics["service"]] = Report.of(metrics)
                continue
            try:
                self.claims.receive(messages.decode("ledger", value))
            except InvalidMessage:
                self.bad += 1

    def close(self) -> None:
        self._tail.close()
