"""Trades and their sums, from whichever record a tap begins with."""

from __future__ import annotations

from typing import Any

import pytest

from consumers.enrich.port import Known
from consumers.enrich.trades import TradeEnricher
from consumers.tap.fill import RING_TRADES, FilledSeries
from consumers.tap.fill_trades import fill_trades
from consumers.tap.port import LiveRow
from consumers.tap.records import BadRecords
from consumers.tap.series import LiveSeries
from shared.messages import TradeMessage
from shared.topics import TRADES
from tests.builders import trade
from tests.unit.consumers.tap.partitions import FakePartitions

TAGS, KEY = ("binance", "BTCUSDC"), b"binance:BTCUSDC"
START_MS = 1_785_700_000_000 // 60_000 * 60_000


def trades(count: int, step_ms: int = 100) -> list[TradeMessage]:
    return [
        trade(
            trade_id=number,
            trade_time_ms=START_MS + number * step_ms,
            received_time_ms=START_MS + number * step_ms + 5,
            price=f"{100 + number % 7}.1",
            quantity=f"0.{number % 9 + 1}",
        )
        for number in range(count)
    ]


def consumed(messages: list[TradeMessage]) -> dict[tuple[str, ...], dict[int, tuple[Any, ...]]]:
    """What the consumer stores, by measurement and interval."""
    enricher = TradeEnricher()
    enricher.assign(0, Known(0, 0))
    stored: dict[tuple[str, ...], dict[int, tuple[Any, ...]]] = {}
    for point in enricher.receive([(0, offset, told) for offset, told in enumerate(messages)], 0).points:
        name = (point.series.measurement.name, *point.series.tags[2:])
        stored.setdefault(name, {})[point.time_ns] = point.values
    return stored


def values(rows: tuple[LiveRow, ...]) -> dict[int, tuple[Any, ...]]:
    return {row.time_ns: row.values for row in rows}


def filled(
    partitions: FakePartitions, on_trades: Any = None
) -> tuple[Any, dict[tuple[str, ...], FilledSeries]]:
    filling = fill_trades(partitions, TAGS, BadRecords(), on_trades)
    return filling, {(one.series.name, *one.series.tags[2:]): one for one in filling.series}


def test_a_whole_topic_gives_all_trades_and_all_sums() -> None:
    messages = trades(1_500)
    partitions = FakePartitions()
    partitions.add(TRADES, KEY, messages)
    _, series = filled(partitions)
    assert {name: values(one.rows) for name, one in series.items()} == consumed(messages)
    assert series["trade",].low == 0 and series["trade",].end == 1_500
    assert [row.offset for row in series["trade",].rows] == list(range(1_500))


def test_of_a_longer_topic_the_newest_trades_and_no_incomplete_sums() -> None:
    messages = trades(9_000)
    partitions = FakePartitions()
    partitions.add(TRADES, KEY, messages)
    partitions.low[TRADES] = 1_000  # in the second minute
    _, series = filled(partitions)
    expected = consumed(messages)
    assert [row.offset for row in series["trade",].rows] == list(range(9_000 - RING_TRADES, 9_000))
    for interval in ("1s", "1m"):
        sums = values(series["trade_summary", interval].rows)
        assert sums and sums.items() <= expected["trade_summary", interval].items()
    # The three minutes read back begin within a minute.
    assert len(series["trade_summary", "1m"].rows) >= 3
    low = series["trade_summary", "1m"].low
    assert messages[low]["trade_time_ms"] % 60_000 == 0


@pytest.mark.parametrize("size", [1, 7, 400])
def test_rows_after_the_fill_continue_it_whatever_the_batches(size: int) -> None:
    messages = trades(2_000)
    partitions = FakePartitions()
    partitions.add(TRADES, KEY, messages[:900])
    told: list[TradeMessage] = []
    filling, series = filled(partitions, told.extend)
    partitions.add(TRADES, KEY, messages[900:])
    rows = {name: values(one.rows) for name, one in series.items()}
    records = partitions.raw(TRADES)
    for begin in range(900, 2_000, size):
        for given in filling.tap.receive(records[begin : begin + size]):
            name = (given.series.name, *given.series.tags[2:])
            rows[name] |= values(given.rows)
            assert given.end == min(begin + size, 2_000)
    assert rows == consumed(messages) and told == messages


def test_sums_are_in_the_order_of_their_last_change_for_viewers_who_come_back() -> None:
    messages = trades(1_200)
    # The repair of ten trades of the first minute is read behind the second minute.
    repaired, others = messages[10:20], [*messages[:10], *messages[20:]]
    partitions = FakePartitions()
    partitions.add(TRADES, KEY, [*others, *(message | {"source": "backfill"} for message in repaired)])
    _, series = filled(partitions)
    for interval in ("1s", "1m"):
        rows = series["trade_summary", interval].rows
        assert values(rows) == consumed(messages)["trade_summary", interval]
        assert [row.offset for row in rows] == sorted(row.offset for row in rows)
        since = {row.time_ns // 10**6 - START_MS for row in rows if row.offset >= 1_190}
        assert since >= {0 if interval == "1m" else 1_000}


def test_no_viewer_goes_on_across_the_repair_of_a_minute_whose_sums_are_not_known() -> None:
    messages = trades(9_000)
    partitions = FakePartitions()
    partitions.low[TRADES] = 1_000  # in the second minute
    repaired = [message | {"source": "backfill", "received_time_ms": START_MS + 900_500}
                for message in messages[500:510]]  # fmt: skip
    partitions.add(TRADES, KEY, [*messages[:500], *messages[510:8_000], *repaired, *messages[8_000:]])
    _, series = filled(partitions)
    for interval in ("1s", "1m"):
        assert series["trade_summary", interval].low == 8_000
        assert values(series["trade_summary", interval].rows).keys()
    assert series["trade",].low < 8_000


def test_without_trades_there_are_no_rows() -> None:
    filling, series = filled(FakePartitions())
    assert all(one.rows == () for one in series.values())
    assert filling.ends == {(TRADES, 0): 0}
    assert LiveSeries("trade_summary", (*TAGS, "1s")) in {one.series for one in series.values()}
