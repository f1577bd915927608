"""The ledger and what services say of themselves → `ledger`, `freshness` and `service` points.

The only writer of the `ledger` measurement (DESIGN §5.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from consumers.arrival import require_time
from consumers.completeness import CompletenessLedger, Minute, refusal
from consumers.enrich.port import Enriched, Known, Record, Start, StatelessEnricher
from consumers.enrich.service_points import ServicePoints, decode_metrics
from consumers.ledger_events import LedgerSeries, PendingEvents
from consumers.measurements import LEDGER
from consumers.points import Point, Series
from shared.errors import InvalidMessage
from shared.messages import LedgerMessage, decode
from shared.topics import METRICS

# `expected` and `stored` of the same ids come within a second or two of each other: a row waits until its
# minute has been quiet for this long, so that what is on its way is not reported lost; but not for ever.
QUIET_MS: Final = 5_000
LONGEST_WAIT_MS: Final = 60_000


class LedgerEnricher(StatelessEnricher):
    """Keeps the sets of the last 24 h in memory; after a start it reads them again from the topic.

    Rows are written only for minutes of which every event has been read.
    """

    def __init__(self) -> None:
        self._ledger = CompletenessLedger()
        self._services = ServicePoints()
        self._whole_from_ms: dict[int, int] = {}
        self._partition: dict[LedgerSeries, int] = {}
        self._waiting: dict[Minute, tuple[int, int]] = {}  # first and last change, by the caller's clock
        self._tags: dict[LedgerSeries, Series] = {}

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
        if message["stream"] == "klines":
            require_time("last", message["last"])
        return message

    def assign(self, partition: int, known: Known) -> Start:
        if known.day_ago <= known.low or known.resume < known.day_ago:
            # Young enough to be read whole; or we were away for longer than a day, and the rows of that time
            # are not written yet.
            self._whole_from_ms[partition] = -1
            return Start(known.low)
        self._whole_from_ms[partition] = known.day_ago_ms
        return Start(known.day_ago)

    def revoke(self, partition: int) -> None:
        self._whole_from_ms.pop(partition, None)
        for series in [series for series, home in self._partition.items() if home == partition]:
            del self._partition[series]
            self._ledger.forget(series)
        self._waiting = {
            minute: changed for minute, changed in self._waiting.items() if minute.series in self._partition
        }

    def receive(self, records: Sequence[Record], now_ms: int) -> Enriched:
        points: list[Point] = []
        for partition, _, message in records:
            if "service" in message:
                points += self._services.points(message)
            else:
                self._enter(partition, message)
        for minute in self._ledger.take_changed():
            first_ms, _ = self._waiting.get(minute, (now_ms, now_ms))
            self._waiting[minute] = (first_ms, now_ms)
        due = [
            minute
            for minute, (first_ms, last_ms) in self._waiting.items()
            if now_ms - last_ms >= QUIET_MS or now_ms - first_ms >= LONGEST_WAIT_MS
        ]
        points += self._rows(due)
        return Enriched(points, PendingEvents())

    def finish(self) -> Enriched:
        return Enriched(self._rows(list(self._waiting)), PendingEvents())

    def _enter(self, partition: int, message: LedgerMessage) -> None:
        series = LedgerSeries(
            message["exchange"], message["symbol"], message["stream"], message["interval"] or ""
        )
        self._partition[series] = partition
        self._ledger.receive(message)

    def _rows(self, minutes: list[Minute]) -> list[Point]:
        for minute in minutes:
            self._waiting.pop(minute, None)
        whole = [minute for minute in minutes if minute.minute_ms >= self._whole_from(minute.series)]
        return [
            Point(self._series(minute.series), minute.minute_ms * 1_000_000, row)
            for minute, row in self._ledger.rows(whole).items()
        ]

    def _whole_from(self, series: LedgerSeries) -> int:
        return self._whole_from_ms.get(self._partition[series], -1)

    def _series(self, counted: LedgerSeries) -> Series:
        series = self._tags.get(counted)
        if series is None:
            series = self._tags[counted] = Series(LEDGER, tuple(counted))
        return series
