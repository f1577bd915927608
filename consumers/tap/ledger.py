"""Ledger, carriage, freshness, instruments and services: few series, all followed from the start.

The ledger's sets come from its snapshots, as the consumer's do. Series appear by themselves.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message

from consumers.enrich.ledger import LedgerEnricher
from consumers.enrich.port import Known, Record
from consumers.ledger_snapshot import newer
from consumers.marks import as_bytes
from consumers.measurements import CARRIAGE, FRESHNESS, INSTRUMENT, LEDGER, SERVICE, Measurement, Point
from consumers.partitions.counts import counts_of
from consumers.partitions.states import ledger_restarts, read_states
from consumers.tap.kafka import ANSWER_S, Incarnations
from consumers.tap.port import Arrived, Event, Filled, LiveRow
from consumers.tap.records import BadRecords, as_stored
from consumers.tap.series import LiveSeries
from shared import topics
from shared.errors import InvalidMessage
from shared.kafka import Config
from shared.kafka_reader import PartitionId, watermarks

_KINDS: Final = (LEDGER, CARRIAGE, FRESHNESS, INSTRUMENT, SERVICE)
# Of the ledger's rows, about a day a series; of the others only the newest counts.
RING_ROWS: Final = 1_500
# Services report every ten seconds: their newest reports are in so many records of a partition.
_METRICS_BACK: Final = 500
# Rows become due by the clock, with or without records.
_IDLE_MS: Final = 1_000
_DAY_MS: Final = 86_400_000
# Ids in flight count as lost: rows of the newest minutes come when they are due.
_SETTLED_MS: Final = 120_000
# How long the first rows wait for the rest of the past.
_CATCH_UP_MS: Final = 30_000


class LedgerRowsSoFar:
    """Rows of each series from the enricher's points. Pure.

    Until `begun`, rows are gathered; then each series is given as a whole once, and row by row afterwards. A
    series with empty tags says that a kind's past has been read, be there any of it or not.
    """

    def __init__(self) -> None:
        self._told = False
        self._rows: dict[LiveSeries, deque[LiveRow]] = {}
        self._given: set[LiveSeries] = set()

    def receive(self, points: Iterable[Point], now_ms: int, *, begun: bool) -> list[Event]:
        new: dict[LiveSeries, list[LiveRow]] = {}
        for point in points:
            series = LiveSeries(point.series.measurement.name, point.series.tags)
            row = LiveRow(point.time_ns, as_stored(point.values), -1, min(point.time_ns // 1_000_000, now_ms))
            new.setdefault(series, []).append(row)
        for series, rows in new.items():
            if series not in self._given:
                room = RING_ROWS if series.name == LEDGER.name else 1
                self._rows.setdefault(series, deque(maxlen=room)).extend(rows)
        if not begun:
            return []
        events: list[Event] = [] if self._told else [*map(_read, _KINDS)]
        self._told = True
        events += [Arrived(series, tuple(rows), 0) for series, rows in new.items() if series in self._given]
        for series, kept in self._rows.items():
            last = {row.time_ns: row for row in kept}
            events.append(Filled(series, None, tuple(last[time_ns] for time_ns in sorted(last)), 0, 0))
            self._given.add(series)
        self._rows.clear()
        return events


def _read(kind: Measurement) -> Filled:
    return Filled(LiveSeries(kind.name, ("",) * len(kind.tags)), None, (), 0, 0)


class LedgerWork:
    """Work of `pipeline.ledger` and `pipeline.metrics`."""

    def __init__(self, config: Config, bad: BadRecords, *, memory_broker: bool) -> None:
        self.topics: tuple[str, ...] = (topics.LEDGER, topics.METRICS)
        self.names = tuple(kind.name for kind in _KINDS)
        self._config = config
        self._bad = bad
        self._memory_broker = memory_broker
        self._enricher = LedgerEnricher()
        self._rows = LedgerRowsSoFar()
        self._ahead: dict[PartitionId, int] = {}  # ends of the past that is not read yet
        self._begun = False
        self._began_ms = 0
        self._turned_ms = 0

    def begin(self, consumer: Consumer, incarnations: Incarnations) -> Mapping[PartitionId, int]:
        self._enricher, self._rows = LedgerEnricher(), LedgerRowsSoFar()
        self._began_ms = time.time_ns() // 1_000_000
        self._ahead.clear()
        self._begun = self._memory_broker
        places = [
            (topic, number) for topic in self.topics for number in range(incarnations[topic].partitions)
        ]
        if self._memory_broker:
            for topic, number in places:
                if topic == topics.LEDGER:
                    self._enricher.assign(number, Known(0, 0))
            return dict.fromkeys(places, OFFSET_BEGINNING)
        bounds = {
            at: watermarks(consumer, at, _unknown(at), within_s=ANSWER_S, patient=True) for at in places
        }
        starts = {at: max(low, high - _METRICS_BACK) for at, (low, high) in bounds.items()}
        starts |= self._restart(
            {number: span for (of, number), span in bounds.items() if of == topics.LEDGER}
        )
        self._ahead = {at: high for at, (_, high) in bounds.items() if starts[at] < high}
        return starts

    def receive(self, messages: Sequence[Message]) -> list[Event]:
        now_ms = time.time_ns() // 1_000_000
        if not messages and abs(now_ms - self._turned_ms) < _IDLE_MS:
            return []
        self._turned_ms = now_ms
        points = self._enricher.receive(list(self._decoded(messages)), now_ms).points
        if now_ms - self._began_ms > _CATCH_UP_MS:
            self._ahead.clear()
        if not self._ahead and not self._begun:
            self._begun = True
            # What was written before is not due again: the ledger of the last day as the sets have it.
            points = [*self._enricher.rows(now_ms - _DAY_MS, now_ms - _SETTLED_MS), *points]
        return self._rows.receive(points, now_ms, begun=self._begun)

    def stop(self) -> None:
        """Nothing is held back for later."""

    def _decoded(self, messages: Sequence[Message]) -> Iterable[Record]:
        for message in messages:
            at = message.topic() or "", message.partition() or 0
            offset = message.offset() or 0
            if offset + 1 >= self._ahead.get(at, offset + 2):
                del self._ahead[at]
            try:
                told: Any = self._enricher.decode(at[0], as_bytes(message.value()))
            except InvalidMessage:
                self._bad.add(1)
            else:
                yield at[1], offset, told

    def _restart(self, bounds: Mapping[int, tuple[int, int]]) -> dict[PartitionId, int]:
        """Where to read the ledger on, by its snapshots."""
        # An admin may have given the ledger more partitions than its snapshots have.
        count = counts_of(self._config, (topics.LEDGER_SNAPSHOT,)).get(topics.LEDGER_SNAPSHOT, 0)
        with_snapshots = [number for number in bounds if number < count]
        states = read_states(self._config, topics.LEDGER_SNAPSHOT, with_snapshots, replaces=newer)
        known = {number: Known(low, high) for number, (low, high) in bounds.items()}
        found = ledger_restarts(self._config, states, known)
        return {
            (topics.LEDGER, number): self._enricher.assign(
                number, Known(*bounds[number], ledger=restart, now_ms=self._began_ms)
            ).offset
            for number, restart in found.items()
        }


def _unknown(at: PartitionId) -> Any:
    return lambda reason: f"{at[0]}: Kafka does not tell its offsets: {reason}"
