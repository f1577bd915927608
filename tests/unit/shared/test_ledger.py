"""Records of the ledger say the same of the same ids, whoever writes them."""

from __future__ import annotations

import pytest

from producers.effects import LedgerEvent
from producers.ledger_events import LedgerEvents
from shared.ledger import LedgerSeries, PendingEvents, ledger_record
from shared.messages import decode, encode
from shared.models import LedgerKind

TRADES = LedgerSeries("binance", "BTCUSDC", "trades")
MINUTES = LedgerSeries("binance", "BTCUSDC", "klines", "1m")


@pytest.mark.parametrize(
    ("series", "first", "last", "count"), [(TRADES, 7, 9, 3), (MINUTES, 60_000, 240_000, 4)]
)
def test_a_record_counts_ids_or_bars_keeps_its_contract_and_names_its_series(
    series: LedgerSeries, first: int, last: int, count: int
) -> None:
    record = ledger_record(
        series, "expected", first, last, event_time_ms=None, received_time_ms=5, source="stream"
    )
    assert (record["first"], record["last"], record["count"]) == (first, last, count)
    assert decode("ledger", encode(record)) == record
    assert LedgerSeries.of(record) == series


def test_a_stream_named_with_its_interval_is_a_series() -> None:
    assert LedgerSeries.of_stream("binance", "BTCUSDC", "trades") == TRADES
    assert LedgerSeries.of_stream("binance", "BTCUSDC", "klines 1m") == MINUTES


@pytest.mark.parametrize("kind", ["uncarried", "stopped"])
def test_a_record_about_a_time_counts_no_ids(kind: LedgerKind) -> None:
    record = ledger_record(
        MINUTES, kind, 60_000, 240_000, event_time_ms=5, received_time_ms=5, source="stream"
    )
    assert record["count"] == 0


@pytest.mark.parametrize("series", [TRADES, MINUTES])
def test_producers_and_consumers_write_the_same_record_of_a_range(series: LedgerSeries) -> None:
    first, last = 60_000 // series.unit * series.unit, 240_000
    of_producer = LedgerEvents(series.exchange, series.symbol)
    of_producer.add(
        "lost",
        series.stream,
        series.interval or None,
        first,
        last,
        event_ms=None,
        received_ms=5,
        source="stream",
        detail="why",
    )
    of_consumer = PendingEvents()
    of_consumer.add(series, "lost", first // series.unit, last // series.unit, "why")
    assert of_producer.flush() == list(of_consumer.messages(5))


def test_a_point_that_the_store_refused_is_taken_back() -> None:
    pending = PendingEvents()
    pending.add(TRADES, "stored", 1, 5)
    pending.remove(TRADES, "stored", 3)
    assert [(event["first"], event["last"]) for event in pending.messages(0)] == [(1, 2), (4, 5)]
    pending.clear()
    assert not pending


def test_trades_of_a_known_time_keep_it_when_others_without_one_follow() -> None:
    events = LedgerEvents("binance", "BTCUSDC")
    for number in range(1, 4):
        events.expect_trade(number, 60_000 + number, 5)
    events.enter(LedgerEvent("expected", 4, 9), "trades", None, 5, "stream")
    events.enter(LedgerEvent("expected", 10, 12), "trades", None, 5, "stream")
    ranges = [(event["first"], event["last"], event["event_time_ms"]) for event in events.flush()]
    assert ranges == [(1, 3, 60_003), (4, 12, None)]
