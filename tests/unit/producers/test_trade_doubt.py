"""When trades may be missing unseen, and what ends that."""

from __future__ import annotations

from typing import Any

import pytest

from producers.trade_doubt import TRAIL_S, TradeDoubt
from shared.trade_ids import number_of
from tests.builders import trade


@pytest.fixture
def doubt() -> TradeDoubt:
    """Ended by trade 5."""
    doubt = TradeDoubt()
    assert not holds(doubt, FIVE, 0.0)
    return doubt


FIVE: Any = trade(trade_id=5)


def holds(doubt: TradeDoubt, newest: Any, now_s: float, highest: int | None = None) -> bool:
    """What is asked once a second; the newest trade is issued if nothing else is said."""
    issued = None if newest is None else max(5, number_of(newest))
    return doubt.holds(newest, issued if highest is None else highest, now_s)


def asked(doubt: TradeDoubt, since_s: float, at_s: float) -> bool:
    """Whether an answer without newer trades, asked for at a time, ends a doubt that has been seen since."""
    holds(doubt, FIVE, since_s)
    doubt.asks(at_s)
    doubt.clear()
    return not holds(doubt, FIVE, at_s)


def test_before_the_first_trade_nothing_is_known() -> None:
    doubt = TradeDoubt()
    assert holds(doubt, None, 0.0) and holds(doubt, None, 100.0)
    assert not holds(doubt, FIVE, 101.0)


def test_a_higher_id_ends_it_and_a_lower_or_the_same_one_does_not(doubt: TradeDoubt) -> None:
    doubt.rise(FIVE, 5)
    assert holds(doubt, FIVE, 1.0)
    assert holds(doubt, trade(trade_id=4), 2.0) and holds(doubt, trade(trade_id=5), 3.0)
    assert not holds(doubt, trade(trade_id=9), 4.0)


def test_an_id_that_is_held_or_a_lie_does_not_end_it(doubt: TradeDoubt) -> None:
    doubt.rise(FIVE, 5)
    assert holds(doubt, trade(trade_id=2**40), 1.0, highest=5)
    assert not holds(doubt, trade(trade_id=6), 2.0)


def test_an_id_of_the_next_numbering_is_higher(doubt: TradeDoubt) -> None:
    doubt.rise(FIVE, 5)
    assert not holds(doubt, trade(trade_id=1, epoch=1), 1.0)


def test_the_trades_that_a_subscription_begins_with_end_it_though_they_are_known(doubt: TradeDoubt) -> None:
    doubt.cut(FIVE, 5)
    doubt.reopened()
    assert not holds(doubt, trade(trade_id=5, event_time_ms=None), 1.0)


def test_rest_ends_it_if_it_was_asked_long_enough_after(doubt: TradeDoubt) -> None:
    doubt.rise(FIVE, 5)
    assert not asked(doubt, 1.0, 1.0 + TRAIL_S - 0.1)
    assert asked(doubt, 1.0, 1.0 + TRAIL_S)


def test_an_answer_that_was_asked_for_before_a_doubt_does_not_end_it(doubt: TradeDoubt) -> None:
    doubt.rise(FIVE, 5)
    holds(doubt, FIVE, 1.0)
    doubt.asks(20.0)
    doubt.rise(FIVE, 5)
    doubt.clear()
    assert holds(doubt, FIVE, 21.0)


def test_rest_does_not_end_it_while_no_connection_brings_trades(doubt: TradeDoubt) -> None:
    doubt.cut(FIVE, 5)
    assert not asked(doubt, 1.0, 60.0)
    holds(doubt, FIVE, 60.0)
    doubt.asks(70.0)
    doubt.reopened()  # trades may have been issued since it was asked
    doubt.clear()
    assert holds(doubt, FIVE, 71.0)
    assert not asked(doubt, 71.0, 72.0) and asked(doubt, 72.0, 71.0 + TRAIL_S)


def test_after_a_trade_of_another_connection_a_new_doubt_is_no_cut(doubt: TradeDoubt) -> None:
    doubt.cut(FIVE, 5)
    six: Any = trade(trade_id=6)
    assert not holds(doubt, six, 1.0)
    doubt.rise(six, 6)
    assert asked(doubt, 2.0, 2.0 + TRAIL_S)
