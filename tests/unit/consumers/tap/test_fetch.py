from __future__ import annotations

from typing import Any

import pytest

from consumers.tap import fetch as module
from consumers.tap.fetch import fetch
from consumers.tap.fill_bars import BarSources
from consumers.tap.port import Fetched
from consumers.tap.reading import MAX_RECORDS
from consumers.tap.records import BadRecords
from consumers.tap.series import LiveSeries
from shared.topics import TRADES, klines_topic
from tests.builders import trade
from tests.unit.consumers.tap.partitions import FakePartitions
from tests.unit.consumers.tap.test_fill_bars import (
    INDICATORS,
    KEY,
    TAGS,
    FakeStore,
    bar,
    consumed,
    stored_rows,
)

CLOSED = klines_topic("1m")
BARS = [bar(number) for number in range(50)]


def asked(partitions: FakePartitions, name: str, offset: int, store: Any = None) -> Fetched:
    sources = BarSources(INDICATORS, True, FakeStore(store), False, BadRecords())
    tags = TAGS if name in ("kline", "indicator", "open_bar") else TAGS[:2]
    return fetch(partitions, 7, LiveSeries(name, tags), offset, sources)


def bars() -> FakePartitions:
    partitions = FakePartitions()
    partitions.add(CLOSED, KEY, BARS)
    return partitions


def test_bars_from_an_offset_to_the_end() -> None:
    answer = asked(bars(), "kline", 30)
    _, klines, _ = consumed(BARS, 0)
    assert answer.request == 7 and answer.rows is not None
    assert [(row.offset, row.values) for row in answer.rows] == [
        (number, klines[row.time_ns]) for number, row in zip(range(30, 50), answer.rows, strict=True)
    ]


def test_indicators_are_the_stores_or_none_at_all() -> None:
    _, _, indicators = consumed(BARS, 0)
    answer = asked(bars(), "indicator", 40, {"indicator": stored_rows(indicators)})
    assert answer.rows is not None
    assert [(row.offset, row.values) for row in answer.rows] == [
        (at, values) for at, values in enumerate(indicators.values()) if at >= 40
    ]
    for store in (None, {"indicator": stored_rows(indicators)[:45]}):
        answer = asked(bars(), "indicator", 40, store)
        assert answer.rows is None and "store" in answer.reason


def test_indicators_of_bars_that_came_again_are_in_the_order_of_their_records() -> None:
    partitions = bars()
    partitions.add(CLOSED, KEY, [bar(42), bar(50)])
    _, _, indicators = consumed([*BARS, bar(42), bar(50)], 0)
    answer = asked(partitions, "indicator", 40, {"indicator": stored_rows(indicators)})
    assert answer.rows is not None
    assert [row.offset for row in answer.rows] == [40, 41, *range(43, 52)]


def test_trades_from_an_offset_to_the_end() -> None:
    partitions = FakePartitions()
    partitions.add(TRADES, KEY, [trade(trade_id=number) for number in range(9)])
    answer = asked(partitions, "trade", 5)
    assert answer.rows is not None and [row.values[0] for row in answer.rows] == [5, 6, 7, 8]


@pytest.mark.parametrize(
    ("offset", "reason"), [(3, "retention"), (51, "ends at offset 50"), (50, ""), (10, "")]
)
def test_an_offset_that_cannot_be_read_is_told_with_the_reason(offset: int, reason: str) -> None:
    partitions = bars()
    partitions.low[CLOSED] = 10
    answer = asked(partitions, "kline", offset)
    assert reason in answer.reason and (answer.rows is None) == bool(reason)


def test_a_quiet_series_goes_on_over_any_number_of_others_records() -> None:
    partitions = bars()
    partitions.add(CLOSED, b"other", [b"x" * 500] * (2 * MAX_RECORDS))
    partitions.add(CLOSED, KEY, [bar(50)])
    answer = asked(partitions, "kline", 49)
    assert answer.rows is not None
    assert [row.offset for row in answer.rows] == [49, 50 + 2 * MAX_RECORDS]
    # Without a seam: each record was read once.
    assert partitions.passed[0] == 2 * MAX_RECORDS + 2


def test_what_takes_too_long_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WITHIN_S", 0.0)
    partitions = FakePartitions()
    partitions.add(CLOSED, b"other", [b"x"] * 100_000)
    answer = asked(partitions, "kline", 0)
    assert answer.rows is None and partitions.passed[0] <= 20_000
    assert answer.reason == "to read what has come since takes longer than 0 s"


def test_rows_and_bytes_of_an_answer_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RECORDS", 30)
    assert asked(bars(), "kline", 10).reason.startswith("more than 30 rows or ")
    assert asked(bars(), "kline", 30).rows is not None
    monkeypatch.setattr(module, "MAX_BYTES", 1_000)
    assert asked(bars(), "kline", 30).rows is None


def test_series_of_the_newest_rows_alone_are_not_read_again() -> None:
    assert asked(bars(), "open_bar", 0).rows is None
