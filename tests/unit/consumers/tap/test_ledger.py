from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import Consumer

from consumers.ledger_snapshot import PartitionSnapshot, Restart
from consumers.measurements import INSTRUMENT, LEDGER, SERVICE, Point, Series
from consumers.tap import ledger as ledger_tap
from consumers.tap.kafka import Incarnation
from consumers.tap.ledger import RING_ROWS, LedgerRowsSoFar, LedgerWork
from consumers.tap.port import Arrived, Filled
from consumers.tap.records import BadRecords
from consumers.tap.series import LiveSeries
from shared import topics

LEDGER_TAGS = ("binance", "BTCUSDC", "trades", "")
SERVICE_TAGS = ("consumer-trades", "1")
NOW_MS = 10**13


def ledger(minute: int, stored: int) -> Point:
    return Point(Series(LEDGER, LEDGER_TAGS), minute * 60 * 10**9, (10, stored, 0, 0, 0, 0))


def service(second: int) -> Point:
    return Point(Series(SERVICE, SERVICE_TAGS), second * 10**9, (1.0, second, float("nan"), 0, 0, True))


def values(event: Any) -> list[Any]:
    return [row.values[1] for row in event.rows]


def test_rows_of_the_past_are_given_as_a_whole_once_it_is_read() -> None:
    rows = LedgerRowsSoFar()
    assert rows.receive([ledger(1, 1), ledger(2, 2), service(1)], NOW_MS, begun=False) == []
    assert rows.receive([ledger(1, 5), service(2)], NOW_MS, begun=False) == []
    events = rows.receive([], NOW_MS, begun=True)
    filled = {event.series: event for event in events if isinstance(event, Filled)}
    assert len(filled) == len(events)
    assert values(filled[LiveSeries("ledger", LEDGER_TAGS)]) == [5, 2]
    (row,) = filled[LiveSeries("service", SERVICE_TAGS)].rows
    assert row.values == (1.0, 2, None, 0, 0, True) and row.offset == -1


def test_of_an_instrument_the_newest_row_is_given_with_its_words() -> None:
    words = ("BTC", "", 0.01, None, None, "TRADING", "id", "native", "ids", "stream")
    points = [
        Point(Series(INSTRUMENT, ("binance", "BTCUSDC")), second, words) for second in (10**9, 2 * 10**9)
    ]
    rows = LedgerRowsSoFar()
    rows.receive(points, NOW_MS, begun=False)
    *_, filled = rows.receive([], NOW_MS, begun=True)
    assert isinstance(filled, Filled) and filled.series == LiveSeries("instrument", ("binance", "BTCUSDC"))
    assert [(row.time_ns, row.values[:3], row.values[5]) for row in filled.rows or ()] == [
        (2 * 10**9, ("BTC", None, 0.01), "TRADING")
    ]


def test_later_rows_arrive_and_series_that_are_new_appear() -> None:
    rows = LedgerRowsSoFar()
    rows.receive([ledger(1, 1)], NOW_MS, begun=True)
    arrived, filled = rows.receive([ledger(2, 7), service(1)], NOW_MS, begun=True)
    assert isinstance(arrived, Arrived) and values(arrived) == [7]
    assert isinstance(filled, Filled) and filled.series == LiveSeries("service", SERVICE_TAGS)
    assert rows.receive([], NOW_MS, begun=True) == []


def test_no_more_than_a_days_rows_of_a_series_are_kept() -> None:
    rows = LedgerRowsSoFar()
    rows.receive([ledger(minute, minute) for minute in range(3 * RING_ROWS)], NOW_MS, begun=False)
    *_, filled = rows.receive([], NOW_MS, begun=True)
    assert values(filled) == list(range(2 * RING_ROWS, 3 * RING_ROWS))


def test_snapshots_are_read_of_the_partitions_that_have_any(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def no_states(_config: Any, _topic: str, numbers: list[int], **_options: Any) -> Any:
        asked.extend(numbers)
        return {number: {} for number in numbers}

    def from_the_first(_config: Any, _states: Any, known: Any) -> Any:
        return {number: Restart(of.low, PartitionSnapshot()) for number, of in known.items()}

    monkeypatch.setattr(ledger_tap, "counts_of", lambda _config, asked: dict.fromkeys(asked, 2))
    monkeypatch.setattr(ledger_tap, "read_states", no_states)
    monkeypatch.setattr(ledger_tap, "ledger_restarts", from_the_first)
    monkeypatch.setattr(ledger_tap, "watermarks", lambda *_at, **_options: (0, 9))
    work = LedgerWork({"group.id": "g"}, BadRecords(), memory_broker=False)
    incarnations = {topics.LEDGER: Incarnation("a", 4), topics.METRICS: Incarnation("b", 1)}
    starts = work.begin(cast(Consumer, object()), incarnations)
    assert asked == [0, 1]
    assert {at: starts[at] for at in starts if at[0] == topics.LEDGER} == {
        (topics.LEDGER, number): 0 for number in range(4)
    }
