"""Ledger rows wait until their minute is quiet; a restart goes on with snapshots."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from consumers.enrich.ledger import SNAPSHOT_PERIOD_MS, LedgerEnricher
from consumers.enrich.ledger_rows import LONGEST_WAIT_MS, QUIET_MS
from consumers.enrich.port import Known, Record
from consumers.ledger_snapshot import fingerprint, restart
from consumers.measurements import INSTRUMENT, Point, Series
from shared.errors import InvalidMessage
from shared.messages import encode
from shared.metrics import ServiceMetrics
from shared.topics import LEDGER, METRICS
from tests.builders import NOW_MS, ledger


def event(kind: str, first: int, last: int, **fields: Any) -> Record:
    return 0, first, ledger(kind=kind, first=first, last=last, count=last - first + 1, **fields)


def fresh(known: Known | None = None) -> LedgerEnricher:
    enricher = LedgerEnricher()
    enricher.assign(0, known or Known(0, 100))
    return enricher


def test_a_row_waits_until_its_minute_is_quiet() -> None:
    enricher = fresh()
    assert enricher.receive([event("expected", 1, 10)], 0).points == []
    assert enricher.receive([event("stored", 1, 10)], QUIET_MS - 1).points == []
    assert enricher.receive([], 2 * QUIET_MS - 2).points == []
    (point,) = enricher.receive([], 2 * QUIET_MS - 1).points
    assert point.series.tags == ("binance", "BTCUSDC", "trades", "")
    assert (point.time_ns, tuple(point.values)) == (NOW_MS * 1_000_000, (10, 10, 0, 0, 0, 0))
    assert enricher.receive([], 10 * QUIET_MS).points == []


def test_a_row_does_not_wait_for_ever() -> None:
    enricher = fresh()
    points: list[Point] = []
    for second in range(LONGEST_WAIT_MS // 1000 + 1):
        points += enricher.receive([event("expected", 1, second + 1)], 1000 * second).points
    assert [next(iter(point.values)) for point in points] == [LONGEST_WAIT_MS // 1000 + 1]


def test_a_stop_writes_what_waits() -> None:
    enricher = fresh()
    enricher.receive([event("expected", 1, 10)], 0)
    assert len(enricher.finish().points) == 1
    assert enricher.finish().points == []


def stopped(enricher: LedgerEnricher, now_ms: int = 0) -> dict[bytes, bytes]:
    """The snapshots that a stop leaves, as the topic keeps them."""
    states = enricher.state_due(now_ms, everything=True)
    enricher.state_stored(states)
    return {state.key: state.value for state in states}


def resumed(records: dict[bytes, bytes], *events: Record, low: int = 0) -> LedgerEnricher:
    """An enricher that goes on with these records, on a topic that has these events."""
    marks = {offset: fingerprint(message) for _, offset, message in events}
    high = max(marks, default=-1) + 1
    found = restart(records, low, high, marks.get)
    enricher = LedgerEnricher()
    start = enricher.assign(0, Known(low, high, ledger=found)).offset
    enricher.receive([record for record in events if record[1] >= start], 0)
    return enricher


def at(offset: int, kind: str, first: int, last: int, **fields: Any) -> Record:
    return 0, offset, event(kind, first, last, **fields)[2]


DAY_MS = 24 * 3_600_000


def test_after_a_restart_rows_of_any_day_are_written_from_what_the_snapshot_knows() -> None:
    enricher = fresh()
    old = [at(0, "expected", 1, 10, event_time_ms=NOW_MS - 3 * DAY_MS), at(1, "stored", 1, 8)]
    enricher.receive(old, 0)
    enricher.finish()
    # Three days later the two that were missing are repaired.
    later = [*old, at(2, "expected", 50, 51), at(3, "repaired", 9, 10), at(4, "stored", 9, 10)]
    rows = resumed(stopped(enricher), *later).finish().points
    assert {point.time_ns // 10**6: tuple(point.values) for point in rows} == {
        NOW_MS - 3 * DAY_MS: (10, 10, 2, 0, 0, 0),
        NOW_MS: (2, 0, 0, 0, 2, 0),
    }


def test_rows_that_waited_at_a_stop_wait_again() -> None:
    enricher = fresh()
    events = [at(0, "expected", 1, 10)]
    enricher.receive(events, 0)
    (point,) = resumed(stopped(enricher), *events).finish().points
    assert tuple(point.values) == (10, 0, 0, 0, 10, 0)


def test_snapshots_are_written_now_and_then_and_only_of_what_has_changed() -> None:
    enricher = fresh()
    enricher.receive([at(0, "expected", 1, 10), at(1, "expected", 1, 5, symbol="ETHUSDC")], 0)
    assert enricher.state_due(0, everything=False) == []
    keys = [state.key for state in enricher.state_due(SNAPSHOT_PERIOD_MS, everything=False)]
    assert sorted(keys) == [b"binance:BTCUSDC:trades:", b"binance:ETHUSDC:trades:", b"partition"]
    assert keys[-1] == b"partition"  # it says that the others are there
    enricher.receive([at(2, "stored", 1, 10)], 0)
    keys = [state.key for state in enricher.state_due(2 * SNAPSHOT_PERIOD_MS, everything=False)]
    assert keys == [b"binance:BTCUSDC:trades:", b"partition"]
    assert enricher.state_due(3 * SNAPSHOT_PERIOD_MS, everything=False) == []
    # A clock that is set back does not put them off.
    enricher.receive([at(3, "stored", 1, 10)], 0)
    assert enricher.state_due(5, everything=False) != []


def test_events_are_covered_when_their_snapshots_are_acknowledged() -> None:
    enricher = fresh()
    enricher.receive([at(0, "expected", 1, 10)], 0)
    states = enricher.state_due(0, everything=True)
    assert enricher.covered() == {}
    enricher.receive([at(1, "expected", 11, 12)], 0)
    enricher.state_stored(states)
    assert enricher.covered() == {0: 1}
    enricher.revoke(0)
    assert enricher.covered() == {}


def test_bars_of_a_dead_producer_get_their_rows_by_the_time_that_others_prove() -> None:
    enricher = fresh()
    bar_ms = NOW_MS - 60_000
    one = {"stream": "klines", "interval": "1m", "event_time_ms": bar_ms}
    enricher.receive([at(0, "expected", bar_ms, bar_ms, **one), at(1, "stored", bar_ms, bar_ms, **one)], 0)
    enricher.finish()
    later_ms = NOW_MS + 10 * 60_000
    enricher.receive([at(2, "expected", 1, 1, symbol="ETHUSDC", event_time_ms=later_ms)], 0)
    rows = [point for point in enricher.finish().points if point.series.tags[1] == "BTCUSDC"]
    assert [tuple(point.values) for point in rows] == [(1, 0, 0, 0, 1, 0)] * 9
    assert rows[0].time_ns == NOW_MS * 10**6


def test_a_revoked_partition_is_counted_by_someone_else() -> None:
    enricher = fresh()
    enricher.receive([event("expected", 1, 10)], 0)
    enricher.revoke(0)
    assert enricher.finish().points == []


@pytest.mark.parametrize(
    "fields",
    [
        {"first": 2, "last": 1},
        {"stream": "klines", "interval": "7m"},
        {"stream": "klines", "interval": "1m", "first": 0, "last": 2**63 - 1},
        {"event_time_ms": 2**63 - 1},
    ],
)
def test_an_event_that_makes_no_sense_is_invalid(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage):
        LedgerEnricher().decode(LEDGER, encode(ledger(**fields)))


@pytest.mark.parametrize(
    ("detail", "carried"), [("REST has more", False), ("REST has more; carried again", True)]
)
def test_a_stream_that_is_not_carried_is_a_point_of_its_own_and_no_row(detail: str, carried: bool) -> None:
    enricher = fresh()
    span = event("uncarried", NOW_MS, NOW_MS + 60_000, stream="klines", interval="1s", detail=detail)
    (point,) = enricher.receive([span], 0).points
    assert (point.series.measurement.name, point.series.tags) == (
        "carriage",
        ("binance", "BTCUSDC", "klines 1s"),
    )
    assert (point.time_ns, tuple(point.values)) == ((NOW_MS + 60_000) * 1_000_000, (carried, NOW_MS))
    assert enricher.receive([], LONGEST_WAIT_MS).points == []


def test_what_is_told_of_instruments_is_a_point_and_changes_no_row() -> None:
    enricher = fresh()
    enricher.receive([event("expected", 1, 10), event("stored", 1, 9)], 0)
    told = {
        "exchange": "binance",
        "symbol": "BTCUSDC",
        "since_ms": NOW_MS,
        "status": "TRADING",
        "tick": "0.01",
    }
    message = {**ServiceMetrics("producer", "0").message(NOW_MS), "instruments": [told]}
    record = (3, 17, enricher.decode(METRICS, orjson.dumps(message)))
    _, instrument = enricher.receive([record], 1).points
    assert instrument.series == Series(INSTRUMENT, ("binance", "BTCUSDC"))
    assert instrument.values[2:6] == (0.01, None, None, "TRADING")
    (row,) = enricher.receive([], QUIET_MS).points
    assert tuple(row.values) == (10, 9, 0, 0, 1, 0)


def test_present_rows_are_those_that_were_written_and_not_those_that_wait() -> None:
    enricher = fresh()
    minute = 60_000
    told: list[Record] = []
    for number, first in enumerate((1, 11)):
        fields = {"event_time_ms": NOW_MS + number * minute}
        told += [event("expected", first, first + 9, **fields), event("stored", first, first + 9, **fields)]
    enricher.receive(told[:2], 0)
    written = enricher.receive([], QUIET_MS).points
    enricher.receive(told[2:], QUIET_MS)
    assert enricher.rows(NOW_MS - 10 * minute, NOW_MS + 10 * minute) == written
    assert enricher.rows(NOW_MS + minute, NOW_MS + 10 * minute) == []
