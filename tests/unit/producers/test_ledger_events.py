"""Neighbouring ids become one range, and keep what is known of their time."""

from __future__ import annotations

import pytest

from producers.ledger_events import LedgerEvents
from shared.models import LedgerKind

MINUTE_MS = 1_780_000_020_000


def joined(
    *trades: tuple[int, int, int | None], kind: LedgerKind = "expected"
) -> list[tuple[int, int, int | None]]:
    """What ranges of trades are flushed as: first id, last id, seconds since MINUTE_MS."""
    events = LedgerEvents("binance", "BTCUSDC")
    for first, last, second in trades:
        event_ms = None if second is None else MINUTE_MS + second * 1_000
        events.add(kind, "trades", None, first, last, event_ms=event_ms, received_ms=0, source="stream")
    return sorted(
        (event["first"], event["last"], None if time_ms is None else (time_ms - MINUTE_MS) // 1_000)
        for event in events.flush()
        for time_ms in (event["event_time_ms"],)
    )


@pytest.mark.parametrize("kind", ["expected", "repaired", "duplicate"])
def test_dated_ids_keep_their_date_when_undated_ones_follow(kind: LedgerKind) -> None:
    assert joined((1, 50, 7), (51, 60, None), kind=kind) == [(1, 50, 7), (51, 60, None)]


def test_undated_ids_are_given_no_date() -> None:
    assert joined((1, 5, None), (6, 9, None), (10, 10, 3), (11, 11, 4)) == [(1, 9, None), (10, 11, 4)]
    assert joined((1, 5, 3), (6, 9, None), (10, 10, 3)) == [(1, 5, 3), (6, 9, None), (10, 10, 3)]


def test_a_range_ends_with_its_minute() -> None:
    assert joined((1, 5, 59), (6, 9, 60)) == [(1, 5, 59), (6, 9, 60)]


def test_a_trade_of_the_stream_gives_undated_ids_before_it_no_date() -> None:
    events = LedgerEvents("binance", "BTCUSDC")
    events.expect_trade(1, MINUTE_MS, 0)
    events.add("expected", "trades", None, 2, 3, event_ms=None, received_ms=0, source="stream")
    events.expect_trade(4, MINUTE_MS + 9, 0)
    said = [(event["first"], event["last"], event["event_time_ms"]) for event in events.flush()]
    assert said == [(1, 1, MINUTE_MS), (2, 3, None), (4, 4, MINUTE_MS + 9)]
