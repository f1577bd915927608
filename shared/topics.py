"""The topics, declared once (DESIGN §4.1): names, retention, compaction.

`cryptostream topics` creates and checks them; auto-creation is off on the broker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

DEFAULT_PARTITIONS: Final = 6

TRADES: Final = "market.trades"
DEPTH: Final = "market.depth"
BOOK: Final = "market.book"
QUOTES: Final = "market.quotes"
LEDGER: Final = "pipeline.ledger"
LEDGER_SNAPSHOT: Final = "pipeline.ledger-snapshot"
METRICS: Final = "pipeline.metrics"
DEAD_LETTERS: Final = "pipeline.dead-letters"
PROGRESS: Final = "pipeline.progress"

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
FOR_EVER: Final = -1


def klines_topic(interval: str) -> str:
    return f"market.klines.{interval}"


def klines_live_topic(interval: str) -> str:
    return f"market.klines-live.{interval}"


def indicator_state_topic(interval: str) -> str:
    return f"pipeline.indicator-state.{interval}"


@dataclass(frozen=True, slots=True)
class Topic:
    """A declared topic; `retention_bytes` bounds a partition, so that a wrong clock cannot fill the disk."""

    name: str
    retention_ms: int
    retention_bytes: int
    compacted: bool = False
    segment_bytes: int | None = None

    def config(self) -> dict[str, str]:
        """Topic-level settings of Kafka."""
        config = {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": str(self.retention_ms),
            "retention.bytes": str(self.retention_bytes),
            # The broker's time, so that retention does not depend on our clocks.
            "message.timestamp.type": "LogAppendTime",
        }
        if self.segment_bytes is not None:
            config["segment.bytes"] = str(self.segment_bytes)
        return config


_GIB: Final = 2**30


def declared_topics(intervals: Sequence[str]) -> tuple[Topic, ...]:
    """All topics of a deployment with these kline intervals."""
    per_interval = [
        topic
        for interval in intervals
        for topic in (
            Topic(klines_topic(interval), 30 * _DAY_MS if interval == "1s" else FOR_EVER, 8 * _GIB),
            Topic(klines_live_topic(interval), _HOUR_MS, _GIB // 4),
            Topic(indicator_state_topic(interval), FOR_EVER, -1, compacted=True, segment_bytes=16 * 2**20),
        )
    ]
    return (
        *per_interval,
        Topic(TRADES, 7 * _DAY_MS, 16 * _GIB),
        Topic(DEPTH, _DAY_MS, 16 * _GIB),
        Topic(BOOK, 7 * _DAY_MS, 8 * _GIB),
        Topic(QUOTES, _DAY_MS, 8 * _GIB),
        # No retention by time: the consumer deletes events that are a week old and in a snapshot. Small
        # segments, since only whole ones are freed.
        Topic(LEDGER, FOR_EVER, 4 * _GIB, segment_bytes=64 * 2**20),
        Topic(LEDGER_SNAPSHOT, FOR_EVER, -1, compacted=True, segment_bytes=16 * 2**20),
        Topic(METRICS, _DAY_MS, _GIB),
        Topic(DEAD_LETTERS, 30 * _DAY_MS, _GIB),
        Topic(PROGRESS, FOR_EVER, -1, compacted=True, segment_bytes=16 * 2**20),
    )
