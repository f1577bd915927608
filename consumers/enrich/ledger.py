"""The ledger and what services say of themselves → `ledger`, `carriage`, `freshness`, `service` points.

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
from consumers.ledger_book import LedgerBook, covered_by
from consumers.ledger_events import LedgerSeries, PendingEvents
from consumers.ledger_snapshot import PARTITION_KEY, PartitionSnapshot, Restart
from consumers.measurements import CARRIAGE, LEDGER
from consumers.points import Point, Series
from shared.errors import InvalidMessage
from shared.messages import CARRIED_AGAIN, LedgerMessage, decode
from shared.topics import METRICS

# A restart reads the events since the last snapshot: some thousands in this time.
SNAPSHOT_PERIOD_MS: Final = 5 * 60_000
# Sooner while a producer is silent: its metrics no longer tell readers what time it is.
SILENT_PERIOD_MS: Final = 60_000


class LedgerEnricher(StatelessEnricher):
    """Keeps the sets of all series in memory, and snapshots of them on a topic of their own.

    A row is written when its minute has been quiet for some seconds, also that of a minute long past.
    """

    def __init__(self) -> None:
        self._book = LedgerBook()
        self._rows = LedgerRows()
        self._services = ServicePoints()
        self._tags: dict[LedgerSeries, Series] = {}
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
        self._book.take(partition, restart)
        return Start(restart.offset, restart.note)

    def revoke(self, partition: int) -> None:
        for series in self._book.give(partition):
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
                    points.append(_carriage(message))
        self._book.expect_by_clock()
        for series, slots in self._book.take_changed().items():
            self._rows.changed(series, slots, now_ms)
        return Enriched(points + self._due(now_ms), PendingEvents())

    def finish(self) -> Enriched:
        return Enriched(self._due(None), PendingEvents())

    def state_due(self, now_ms: int, *, everything: bool) -> list[StateRecord]:
        if self._snapshot_ms is None:
            self._snapshot_ms = now_ms
        period_ms = SILENT_PERIOD_MS if self._book.silent else SNAPSHOT_PERIOD_MS
        # A clock that was set back must not put it off.
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
        """Partitions, and the offset before which all their events are in acknowledged snapshots."""
        return dict(self._covered)

    def _due(self, now_ms: int | None) -> list[Point]:
        return [
            Point(self._series(series), minute_ms * 1_000_000, row)
            for series, slots in self._rows.take_due(now_ms)
            for minute_ms, row in self._book.rows(series, slots)
        ]

    def _series(self, counted: LedgerSeries) -> Series:
        series = self._tags.get(counted)
        if series is None:
            series = self._tags[counted] = Series(LEDGER, tuple(counted))
        return series


def _carriage(message: LedgerMessage) -> Point:
    """Whether a stream is carried by now, and since when it was not."""
    stream = f"{message['stream']} {message['interval']}" if message["interval"] else message["stream"]
    carried = (message["detail"] or "").endswith(CARRIED_AGAIN)
    series = Series(CARRIAGE, (message["exchange"], message["symbol"], stream))
    return Point(series, message["last"] * 1_000_000, (carried, message["first"]))
