"""The newest messages of an instrument's streams."""

from __future__ import annotations

from producers.newest_messages import NewestMessages
from producers.stream_health import QUOTE, TRADE
from shared.messages import TradeMessage, encode
from shared.trade_ids import number_of
from tests.builders import NOW_MS, quote, trade


def test_bytes_are_decoded_when_they_are_read_and_then_stay_the_same_object() -> None:
    newest = NewestMessages(dict.fromkeys((QUOTE, TRADE)))
    newest[QUOTE] = encode(quote(update_id=7))
    read = newest[QUOTE]
    assert read == quote(update_id=7)
    assert newest[QUOTE] is read
    assert newest[TRADE] is None


def test_a_message_stays_the_object_that_it_is() -> None:
    message = quote()
    newest = NewestMessages({QUOTE: message})
    assert newest[QUOTE] is message


def brought(*trades: TradeMessage, lane: TradeMessage | None = None) -> NewestMessages:
    """These trades, each of which counts as issued, and then one that a lane takes."""
    newest = NewestMessages({TRADE: None})
    highest: int | None = None
    for each in trades:
        newest.put_trade(each, highest)
        highest = max(highest or 0, number_of(each))
    if lane is not None:
        newest[TRADE] = encode(lane)
    return newest


def highest_id(newest: NewestMessages) -> int | None:
    return None if newest.highest_trade is None else newest.highest_trade["trade_id"]


def test_a_trade_that_comes_late_is_the_newest_and_not_the_highest() -> None:
    late = trade(trade_id=5)
    newest = brought(trade(trade_id=6), trade(trade_id=7), late, trade(trade_id=4))
    assert newest[TRADE]["trade_id"] == 4
    assert highest_id(newest) == 7
    assert highest_id(brought(trade(trade_id=7), late, lane=trade(trade_id=8))) == 8
    assert highest_id(brought()) is None


def test_a_lower_id_of_a_later_time_begins_a_numbering_anew() -> None:
    before = trade(trade_id=700, trade_time_ms=NOW_MS)
    anew = trade(trade_id=1, trade_time_ms=NOW_MS + 2_000)
    assert highest_id(brought(before, anew)) == 1
    assert highest_id(brought(before, anew, trade(trade_id=2, trade_time_ms=NOW_MS + 2_000))) == 2
    assert highest_id(brought(before, trade(trade_id=699, trade_time_ms=NOW_MS), anew)) == 1


def test_a_later_numbering_is_above_an_earlier_one_whatever_its_times() -> None:
    anew = trade(trade_id=1)
    anew["epoch"] = 1
    assert highest_id(brought(trade(trade_id=700), anew)) == 1


def test_a_trade_with_an_id_that_nobody_issued_is_not_the_highest() -> None:
    newest = NewestMessages({TRADE: None})
    newest.put_trade(trade(trade_id=7), 6)
    newest.put_trade(trade(trade_id=10**9), 7)
    newest.put_trade(trade(trade_id=8), 7)
    assert highest_id(newest) == 8
