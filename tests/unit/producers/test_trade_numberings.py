"""Doubtful trades, and a numbering that begins anew."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.doubtful_trades import FULL_PAGE, MAX_HELD
from producers.effects import AskNewestTrades, Publish, Reject
from producers.exchanges.rest_port import PAGE
from producers.halts import Halts
from producers.silence_probe import LaterBar
from producers.trade_sequence import TradeSequence
from shared.trade_ids import number, number_of
from tests.builders import NOW_MS, trade
from tests.unit.producers.numbered_trades import LATER, details, events, fills, published, row, span, stream


@pytest.fixture
def trades() -> TradeSequence:
    sequence = TradeSequence("BTCUSDC", Halts())
    sequence.receive(stream(100))
    return sequence


def at(trade_id: int, after_ms: int, **fields: Any) -> Any:
    return trade(trade_id=trade_id, trade_time_ms=NOW_MS + after_ms, **fields)


def kinds(effects: Any) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def received(sequence: TradeSequence, *trades: Any) -> Any:
    return [effect for each in trades for effect in sequence.receive(each)]


def numbers(effects: Any) -> list[int]:
    return [number_of(effect.message) for effect in effects if isinstance(effect, Publish)]


ANEW = [at(1, 60_000), at(2, 60_400), at(3, 60_800)]


def test_ids_that_begin_anew_are_held_until_rest_says_so_and_then_published_as_a_new_numbering(
    trades: TradeSequence,
) -> None:
    effects = received(trades, *ANEW)
    assert kinds(effects) == ["AskNewestTrades"]
    assert trades.doubtful == 3
    effects = trades.receive_newest(ANEW)
    assert numbers(effects) == [number(1, 1), number(1, 2), number(1, 3)]
    assert [each.message["trade_id"] for each in effects if isinstance(each, Publish)] == [1, 2, 3]
    assert events(effects) == [("gap", number(1, 1), number(1, 1))]
    assert details(effects) == [("gap", "trade ids begin anew after 100: numbering 2")]
    assert (trades.doubtful, trades.missing, trades.epoch) == (0, 0, 1)


LATER_BAR = LaterBar(first=1, last=3, open_ms=NOW_MS + 60_000, time_ms=NOW_MS + 62_000)


def test_ids_that_only_a_bar_shows_to_begin_anew_are_asked_about_and_fetched(trades: TradeSequence) -> None:
    [asked] = trades.counted_later(LATER_BAR)
    assert isinstance(asked, AskNewestTrades)
    effects = trades.receive_newest(ANEW)
    assert events(effects) == [
        ("gap", number(1, 1), number(1, 1)),
        ("expected", number(1, 1), number(1, 3)),
        ("gap", number(1, 1), number(1, 3)),
    ]
    assert fills(effects) == [(number(1, 1), number(1, 3))]
    rows = [each | {"epoch": 1} for each in ANEW]
    assert published(trades.receive_rows(number(1, 1), number(1, 3), rows, 0.0)) == [1, 2, 3]
    # Later bars go on from there.
    assert trades.counted_later(LATER_BAR) == []
    more = trades.counted_later(LaterBar(4, 5, NOW_MS + 70_000, NOW_MS + 71_000))
    assert fills(more) == [(number(1, 4), number(1, 5))]


def test_a_bar_alone_is_not_believed_that_ids_begin_anew(trades: TradeSequence) -> None:
    trades.counted_later(LATER_BAR)
    assert trades.receive_newest([row(99), row(100)]) == []
    assert trades.receive_newest(ANEW) == []  # nobody has asked
    assert trades.epoch == 0


def test_the_new_numbering_goes_on_like_any_other(trades: TradeSequence) -> None:
    received(trades, *ANEW)
    trades.receive_newest(ANEW)
    [publish] = trades.receive(at(4, 61_200))
    assert isinstance(publish, Publish)
    assert publish.progress_id == number(1, 4)
    assert events(trades.receive(at(4, 61_200))) == [("duplicate", number(1, 4), number(1, 4))]
    effects = trades.receive(at(7, 61_300))
    assert fills(effects) == [(number(1, 5), number(1, 6))]
    rows = [at(5, 61_250, epoch=1), at(6, 61_260, epoch=1)]
    assert numbers(trades.receive_rows(number(1, 5), number(1, 6), rows, 1.0)) == [number(1, 5), number(1, 6)]


def test_the_old_numberings_future_is_not_missing_and_its_holes_can_be_had_no_more(
    trades: TradeSequence,
) -> None:
    trades.receive(stream(104))
    received(trades, *ANEW)
    effects = trades.receive_newest(ANEW)
    assert events(effects)[0] == ("lost", 101, 103)
    assert "begun anew" in (details(effects)[0][1] or "")
    assert trades.missing == 0
    # An answer to what was asked before says nothing of the new one.
    assert published(trades.receive_rows(101, 103, [row(101), row(102), row(103)], 1.0)) == []


def test_after_a_restart_numbers_go_on_in_the_numbering_they_were_in() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    sequence.begin(number(1, 12))
    [publish] = sequence.receive(at(13, 70_000))
    assert isinstance(publish, Publish)
    assert (publish.progress_id, publish.message["epoch"]) == (number(1, 13), 1)


def test_a_restart_after_a_kill_in_the_middle_of_the_change_misses_nothing_between_the_numberings() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    effects = sequence.begin(100, [span(1, 1, 3), span(1, 5, 6)], NOW_MS)
    assert fills(effects) == [(number(1, 4), number(1, 4))]
    assert (sequence.missing, sequence.epoch) == (1, 1)


def test_a_restart_gives_up_the_holes_of_a_numbering_that_is_over() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    effects = sequence.begin(100, [LATER, span(1, 1, 3)], NOW_MS)
    assert (fills(effects), events(effects)) == ([], [("lost", 101, 104)])


def test_a_lie_far_ahead_holds_up_no_other_trade_and_declares_nothing_missing(trades: TradeSequence) -> None:
    effects = received(trades, at(2**40, 150), at(101, 160), at(102, 170), at(104, 180))
    assert published(effects) == [101, 102, 104]
    assert events(effects) == [("gap", 103, 103)]
    effects = trades.receive_newest([at(101, 160), at(102, 170), at(103, 175), at(104, 180)])
    assert kinds(effects) == ["Reject", "Distrust"]
    assert isinstance(effects[0], Reject)
    assert str(2**40) in effects[0].reason
    assert (trades.missing, trades.doubtful) == (1, 0)


def test_an_id_seen_before_with_a_later_time_is_not_called_a_duplicate_unseen(trades: TradeSequence) -> None:
    effects = received(trades, at(90, 150), at(101, 160))
    assert (published(effects), events(effects)) == ([101], [])
    assert kinds(trades.receive_newest([at(100, 100), at(101, 160)])) == ["Reject", "Distrust"]


def test_a_jump_that_rest_confirms_is_a_hole_like_any_other(trades: TradeSequence) -> None:
    assert published(trades.receive(at(90_000, 200))) == []
    effects = trades.receive_newest([at(89_999, 190), at(90_000, 200)])
    assert (published(effects), events(effects)) == ([90_000], [("gap", 101, 89_999)])
    assert fills(effects) == [(101, 100 + PAGE)]


def test_while_rest_does_not_answer_it_is_asked_again_and_the_doubt_is_seen(trades: TradeSequence) -> None:
    trades.receive(at(1, 60_000))
    for delay_s in (1.0, 2.0, 4.0):
        [asked] = trades.receive_newest([])
        assert isinstance(asked, AskNewestTrades)
        assert asked.delay_s == delay_s
    assert trades.doubtful == 1
    assert trades.doubtful_since_ms == ANEW[0]["received_time_ms"]


def test_what_follows_on_doubtful_trades_is_doubtful_though_it_may_be_the_next_one() -> None:
    sequence = TradeSequence("BTCUSDC", Halts())
    received(sequence, at(1, 0), at(2, 10), at(3, 20))
    assert published(received(sequence, *ANEW, at(4, 61_200))) == []
    effects = sequence.receive_newest([*ANEW, at(4, 61_200)])
    assert numbers(effects) == [number(1, each) for each in (1, 2, 3, 4)]


def test_more_doubtful_trades_than_can_be_held_are_found_again_as_a_hole(trades: TradeSequence) -> None:
    rows = [at(each, 60_000 + each) for each in range(1, MAX_HELD + 201)]
    received(trades, *rows)
    effects = trades.receive_newest(rows[-FULL_PAGE:])
    assert numbers(effects) == [number(1, each) for each in range(1, MAX_HELD + 1)]
    assert fills(effects) == [(number(1, MAX_HELD + 1), number(1, MAX_HELD + 200))]


def test_a_trade_of_a_new_numbering_fills_no_hole_of_the_old_one(trades: TradeSequence) -> None:
    trades.receive(stream(104))
    later = at(102, 60_000, source="backfill")
    assert published(trades.receive_rows(101, 103, [row(101), later], 1.0)) == [101]
    assert trades.missing == 2


@given(
    st.lists(st.integers(1, 40), max_size=60),
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(0, 2**50), st.integers(0, 70_000)), max_size=4),
    st.data(),
)
def test_whatever_lies_and_repeats_come_between_each_trade_of_both_numberings_is_published(
    repeated: list[int], count: int, lies: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Repeats and lies among 50 trades of the old and some of a new numbering, REST answering at any time."""
    old = [at(5_000 + each, each * 10) for each in range(50)]
    new = [at(each, 60_000 + each * 10) for each in range(1, count + 1)]
    issued = {(each["trade_id"], each["trade_time_ms"]) for each in (*old, *new)}
    sequence = TradeSequence("BTCUSDC", Halts())
    out: list[int] = []
    asked = False
    told: list[Any] = []
    for real in (*old, *new):
        told.append(real)
        coming = [real]
        if len(repeated) > 0 and data.draw(st.booleans()):
            coming.append(told[repeated.pop() % len(told)].copy())
        if len(lies) > 0 and data.draw(st.booleans()):
            trade_id, after_ms = lies.pop()
            time_ms = min(NOW_MS + after_ms, real["trade_time_ms"] + 5)
            if (trade_id, time_ms) not in issued and abs(trade_id - real["trade_id"]) > 20_000_000:
                coming.append(trade(trade_id=trade_id, trade_time_ms=time_ms))
        for each in coming:
            effects = sequence.receive(each.copy())
            out += numbers(effects)
            asked = asked or any(isinstance(effect, AskNewestTrades) for effect in effects)
        if asked and data.draw(st.booleans()):
            effects = sequence.receive_newest([each.copy() for each in told])
            out += numbers(effects)
            asked = any(isinstance(effect, AskNewestTrades) for effect in effects)
    for _ in range(10):
        if asked:
            effects = sequence.receive_newest([each.copy() for each in told])
            out += numbers(effects)
            asked = any(isinstance(effect, AskNewestTrades) for effect in effects)
    wanted = [each["trade_id"] for each in old] + [number(1, each["trade_id"]) for each in new]
    assert sorted(set(out)) == wanted
    # Only what is repeated of a numbering that is over is published again; it has its place.
    assert all(out.count(each) == 1 for each in out if each >= number(1, 0))
    assert (sequence.missing, sequence.doubtful) == (0, 0)


def test_a_recording_that_is_played_again_brings_no_third_numbering(trades: TradeSequence) -> None:
    """All of it is stored: what was before the change once more in its place, the rest as duplicates."""
    old = [at(5_000 + each, each) for each in range(3)]
    again = TradeSequence("BTCUSDC", Halts())
    again.begin(number(1, 3), (), ANEW[-1]["trade_time_ms"])
    effects = received(again, *(dict(each) for each in old))
    assert again.receive_newest(old)[0] == AskNewestTrades("BTCUSDC", 1.0)
    assert events(received(again, *(dict(each) for each in ANEW))) == [
        ("duplicate", number(1, each), number(1, each)) for each in (1, 2, 3)
    ]
    effects = again.receive_newest([*old, *ANEW])
    assert numbers(effects) == [5_000, 5_001, 5_002]
    assert (again.epoch, again.missing, again.doubtful) == (1, 0, 0)
