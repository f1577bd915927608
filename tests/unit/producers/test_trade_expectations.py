"""Trades that are known to be missing are expected, whatever REST answers."""

from __future__ import annotations

from typing import Any

import pytest

from producers.effects import FillTrades, LedgerEvent, Publish
from producers.halts import Halts
from producers.missing_ids import MissingRange
from producers.trade_sequence import TradeSequence
from tests.builders import NOW_MS, trade


def events(effects: Any) -> list[tuple[str, int, int, int | None]]:
    return [
        (effect.kind, effect.first, effect.last, effect.time_ms)
        for effect in effects
        if isinstance(effect, LedgerEvent)
    ]


def with_a_hole() -> TradeSequence:
    """Trades 1 and 4 have come; the question for those between is open."""
    sequence = TradeSequence("BTCUSDC", Halts())
    sequence.receive(trade(trade_id=1, trade_time_ms=NOW_MS))
    effects = sequence.receive(trade(trade_id=4, trade_time_ms=NOW_MS + 9))
    assert FillTrades("BTCUSDC", 2, 3) in effects
    return sequence


def test_a_question_that_rest_leaves_open_hides_no_trade() -> None:
    sequence = with_a_hole()
    said = {second: found for second in range(60) if (found := events(sequence.retry(float(second))))}
    assert said == {10: [("expected", 2, 3, NOW_MS + 9)]}


def test_a_question_that_is_answered_in_time_expects_what_comes_only() -> None:
    sequence = with_a_hole()
    rows = [trade(trade_id=number, trade_time_ms=NOW_MS + number, source="backfill") for number in (2, 3)]
    assert events(sequence.retry(0.0)) == []
    assert events(sequence.receive_rows(2, 3, rows, 9.0)) == []
    assert all(events(sequence.retry(float(second))) == [] for second in range(10, 60))


@pytest.mark.parametrize(("later_ms", "given"), [(900, True), (1_100, False)])
def test_a_missing_trade_may_be_later_than_the_next_one_by_what_servers_differ(
    later_ms: int, given: bool
) -> None:
    sequence = with_a_hole()
    rows = [
        trade(trade_id=number, trade_time_ms=NOW_MS + 9 + later_ms, source="backfill") for number in (2, 3)
    ]
    effects = sequence.receive_rows(2, 3, rows, 9.0)
    assert [effect.message for effect in effects if isinstance(effect, Publish)] == (rows if given else [])


def test_the_patience_begins_anew_with_each_question() -> None:
    sequence = with_a_hole()
    sequence.retry(0.0)
    sequence.receive_rows(2, 3, [], 9.0)
    assert FillTrades("BTCUSDC", 2, 3) in sequence.retry(11.0)
    assert all(events(sequence.retry(float(second))) == [] for second in range(12, 22))
    assert events(sequence.retry(22.0)) == [("expected", 2, 3, NOW_MS + 9)]


def test_what_an_earlier_start_missed_is_expected_again_and_excused_if_it_never_was() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    hole = MissingRange(2, 3, NOW_MS, NOW_MS + 9, offline=False)
    assert events(sequence.begin(9, time_ms=NOW_MS + 20, missing=[hole])) == [("expected", 2, 3, NOW_MS + 9)]
    assert sequence.conclude() == []
