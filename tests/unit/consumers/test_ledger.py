"""Ledger rows wait until their minute is quiet, and are written only for minutes that are known whole."""

from __future__ import annotations

from typing import Any

import pytest

from consumers.enrich.ledger import LONGEST_WAIT_MS, QUIET_MS, LedgerEnricher
from consumers.enrich.port import Known, Record
from consumers.points import Point
from shared.errors import InvalidMessage
from shared.messages import encode
from shared.topics import LEDGER
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


def test_after_a_restart_only_minutes_that_are_read_whole_are_written() -> None:
    enricher = LedgerEnricher()
    known = Known(0, 100, committed=90, day_ago=50, day_ago_ms=NOW_MS + 1)
    assert enricher.assign(0, known).offset == 50
    enricher.receive([event("stored", 5, 10), event("expected", 5, 10)], 0)
    enricher.receive([event("expected", 11, 20, event_time_ms=NOW_MS + 60_000)], 0)
    assert [point.time_ns for point in enricher.finish().points] == [(NOW_MS + 60_000) * 1_000_000]


@pytest.mark.parametrize(
    "known",
    [
        Known(0, 100, committed=90, day_ago=0, day_ago_ms=NOW_MS + 1),  # younger than a day
        Known(0, 100, committed=20, day_ago=50, day_ago_ms=NOW_MS + 1),  # away for longer than a day
        Known(0, 100, day_ago=50, day_ago_ms=NOW_MS + 1),  # never there
    ],
)
def test_a_ledger_that_can_be_read_whole_is(known: Known) -> None:
    enricher = LedgerEnricher()
    assert enricher.assign(0, known).offset == 0
    enricher.receive([event("expected", 1, 10)], 0)
    assert len(enricher.finish().points) == 1


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
        LedgerEnricher().decode(LEDGER, encode(ledger(**fields)))  # type: ignore[arg-type]


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
