"""Ledger events and service metrics → `ledger`, `carriage`, `freshness`, `instrument`, `service` points.

The only writer of the `ledger` measurement (DESIGN §5.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from consumers.arrival import require_time
from consumers.completeness import refusal
from consumers.enrich.ledger_rows import LedgerRows
from consumers.enrich.port import Enriched, Known, Record, Start, StatelessEnricher, StateRecord
from consumers.enrich.service_points import ServicePoints, decode_metrics
from consumers.ledger_account import period_ms
from consumers.ledger_book import LedgerBook, covered_by
from consumers.ledger_snapshot import PARTITION_KEY, PartitionSnapshot, Restart
from consumers.measurements import CARRIAGE, LEDGER, Point, SeriesByTags
from shared.errors import InvalidMessage
from shared.ledger import PendingEvents
from shared.messages import CARRIED_AGAIN, LedgerMessage, decode
from shared.topics import METRICS

# A restart reads the events since the last snapshot: some thousands in this time.
SNAPSHOT_PERIOD_MS: Final = 5 * 60_000
# More often while a producer is silent: readers cannot tell the time from its metrics.
SILENT_PERIOD_MS: Final = 60_000


class LedgerEnricher(StatelessEnricher):
    """Keeps the sets of all series in memory, and their snapshots on a topic of their own.

    A row is written when its period had no change for some seconds, however long ago the period was.
    """

    def __init__(self) -> None:
        self._book = LedgerBook()
        self._rows = LedgerRows()
        self._services = ServicePoints()
        self._series = SeriesByTags(LEDGER)
        self._carriage = SeriesByTags(CARRIAGE)
        self._snapshot_ms: int | None = None
        self._covered: dict[int, int] = {}

    def decode(self, topic: str, value: bytes | None) -> Any:
        if topic == METRICS:
            return decode_metrics(value)
        message: LedgerMessage = decode("ledger", value)
        reason = refusal(message)
        if reason is not None:
            raise InvalidMessage(
                "ledger", f"{message['first']}–{message['last']}", f"a ledger event: {reason}"
            )
        if message["event_time_ms"] is not None:
            require_time("event_time_ms", message["event_time_ms"])
        if message["kind"] == "uncarried":
            require_time("first", message["first"])
            require_time("last", message["last"])
        if message["stream"] == "klines":
            require_time("last", message["last"])
        return message

    def assign(self, partition: int, known: Known) -> Start:
        restart = known.ledger
        if restart is None:  # the in-memory broker, which keeps no snapshots
            restart = Restart(known.low, PartitionSnapshot())
        self._book.assign(partition, restart)
        return Start(restart.offset, restart.note)

    def revoke(self, partition: int) -> None:
        for series in self._book.revoke(partition):
            self._rows.forget(series)
        self._covered.pop(partition, None)

    def receive(self, records: Sequence[Record], now_ms: int) -> Enriched:
        points: list[Point] = []
        for partition, offset, message in records:
            if "service" in message:
                points += self._services.points(message)
                self._book.time.tick(f"{message['service']}:{message['instance']}", message["time_ms"])
            else:
                self._book.receive(partition, offset, message)
                if message["kind"] == "uncarried":
                    points.append(self._carriage_point(message))
        self._book.expect_by_clock()
        for series, periods in self._book.ledger.take_changed().items():
            self._rows.changed(series, periods, now_ms)
        return Enriched(points + self._due(now_ms), PendingEvents())

    def finish(self) -> Enriched:
        return Enriched(self._due(None), PendingEvents())

    def state_due(self, now_ms: int, *, everything: bool) -> list[StateRecord]:
        if self._snapshot_ms is None:
            self._snapshot_ms = now_ms
        period_ms = SILENT_PERIOD_MS if self._book.ledger.silent_since() else SNAPSHOT_PERIOD_MS
        # A clock that was set back must not delay it.
        if not everything and 0 <= now_ms - self._snapshot_ms < period_ms:
            return []
        self._snapshot_ms = now_ms
        return [
            StateRecord(partition, key, value)
            for partition, key, value in self._book.snapshots(self._rows.waiting)
        ]

    def state_stored(self, records: Sequence[StateRecord]) -> None:
        for partition, key, value in records:
            if key == PARTITION_KEY:
                self._covered[partition] = covered_by(value)

    def covered(self) -> dict[int, int]:
        """By partition, the offset before which all events are in acknowledged snapshots."""
        return dict(self._covered)

    def rows(self, from_ms: int, to_ms: int) -> list[Point]:
        """The present rows of all periods that began in [from_ms, to_ms), except those that wait to be
        written, and those without any id."""
        points = []
        for series in self._book.ledger.series():
            step_ms, waiting = period_ms(series), self._rows.waiting(series)
            periods = [
                each for each in range(-(-from_ms // step_ms), -(-to_ms // step_ms)) if each not in waiting
            ]
            points += [
                Point(self._series[tuple(series)], begin_ms * 1_000_000, row)
                for begin_ms, row in self._book.ledger.rows(series, periods)
                if any(row)
            ]
        return points

    def _due(self, now_ms: int | None) -> list[Point]:
        return [
            Point(self._series[tuple(series)], begin_ms * 1_000_000, row)
            for series, periods in self._rows.take_due(now_ms)
            for begin_ms, row in self._book.ledger.rows(series, periods)
        ]

    def _carriage_point(self, message: LedgerMessage) -> Point:
        """Whether a stream is carried now, and since when it was not."""
        stream = f"{message['stream']} {message['interval']}" if message["interval"] else message["stream"]
        carried = (message["detail"] or "").endswith(CARRIED_AGAIN)
        series = self._carriage[message["exchange"], message["symbol"], stream]
        return Point(series, message["last"] * 1_000_000, (carried, message["first"]))
