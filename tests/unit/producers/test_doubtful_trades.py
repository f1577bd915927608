"""Doubtful trades: what REST's newest ones make of them."""

from __future__ import annotations

from typing import Any

import pytest

from producers.doubtful_trades import FULL_PAGE, MAX_HELD, Classification, DoubtfulTrades, Mark, can_follow
from tests.builders import NOW_MS, trade

KNOWN = Mark(5_019, NOW_MS)


def at(trade_id: int, after_ms: int, **fields: Any) -> Any:
    return trade(trade_id=trade_id, trade_time_ms=NOW_MS + after_ms, **fields)


def held(*trades: Any) -> DoubtfulTrades:
    made = DoubtfulTrades()
    for each in trades:
        made.hold(each)
    return made


def outcome(made: DoubtfulTrades, rows: Any, known: Mark = KNOWN, awaited: Any = ()) -> Classification | None:
    return made.classify(known, lambda trade_id: trade_id in awaited, rows)


def ids(trades: Any) -> list[int]:
    return [each["trade_id"] for each in trades]


@pytest.mark.parametrize(
    ("jump", "passed_ms", "possible"),
    [
        (1, 0, True),
        (0, 5, False),
        (-3, 5, False),
        (10_000, 0, True),
        (10_001, 0, False),
        (2**40, 60_000, False),
    ],
)
def test_a_market_issues_only_so_many_trades_in_a_time(jump: int, passed_ms: int, possible: bool) -> None:
    assert can_follow(Mark(1_000, NOW_MS), Mark(1_000 + jump, NOW_MS + passed_ms)) is possible


def test_an_hour_away_from_a_busy_market_is_a_possible_jump() -> None:
    assert can_follow(Mark(1_000, NOW_MS), Mark(30_000_000, NOW_MS + 3_600_000))


def test_after_a_month_without_an_answer_rest_is_still_asked_once_a_minute() -> None:
    made = held(at(9_000_000, 0))
    for _ in range(43_200):
        assert outcome(made, []) is None
    assert made.delay_s == 60.0


def test_ids_that_rest_has_below_ours_and_later_are_a_new_numbering() -> None:
    made = held(at(1, 60_000), at(2, 60_400))
    classified = outcome(made, [at(5_019, 0), at(1, 60_000), at(2, 60_400)])
    assert classified is not None
    assert (classified.begun_anew, ids(classified.genuine), classified.impossible) == (1, [1, 2], [])
    assert not made


def test_a_new_numbering_of_which_we_saw_not_the_first_begins_where_rest_begins() -> None:
    classified = outcome(held(at(7, 60_700)), [at(number, 60_000 + number * 100) for number in range(3, 9)])
    assert classified is not None
    assert classified.begun_anew == 3


def test_before_a_full_page_of_a_new_numbering_there_are_more_of_it() -> None:
    rows = [at(number, 60_000 + number) for number in range(2_001, 2_001 + FULL_PAGE)]
    classified = outcome(held(at(2_500, 62_500)), rows)
    assert classified is not None
    assert classified.begun_anew == 1


def test_a_jump_that_rest_confirms_is_none() -> None:
    classified = outcome(held(at(2**40, 500)), [at(2**40 - 3, 300), at(2**40 - 1, 400)])
    assert classified is not None
    assert (classified.begun_anew, ids(classified.genuine)) == (None, [2**40])


@pytest.mark.parametrize("lie", [at(2**40, 500), at(4_000, 500)])
def test_what_rest_has_gone_past_without_is_a_lie(lie: Any) -> None:
    classified = outcome(held(lie), [at(5_019, 0), at(5_020, 510)])
    assert classified is not None
    assert (classified.begun_anew, classified.genuine, ids(classified.impossible)) == (None, [], ids([lie]))


def test_rest_that_is_behind_the_stream_is_asked_again_later_each_time() -> None:
    made = held(at(1, 60_000))
    delays = []
    for _ in range(8):
        assert outcome(made, [at(5_018, -10)]) is None
        delays.append(made.delay_s)
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(made) == 1


def test_rest_that_does_not_answer_decides_nothing() -> None:
    made = held(at(2**40, 500))
    for _ in range(20):
        assert outcome(made, []) is None
    assert len(made) == 1


def test_in_a_market_that_stands_still_a_lie_is_found_after_some_seconds() -> None:
    made = held(at(2**40, 500))
    for _ in range(3):
        assert outcome(made, [at(5_019, 0)]) is None
    classified = outcome(made, [at(5_019, 0)])
    assert classified is not None
    assert ids(classified.impossible) == [2**40]


def test_a_lie_among_the_first_of_a_new_numbering_is_told_from_them() -> None:
    made = held(at(1, 60_000), at(2**50, 60_100), at(2, 60_200))
    classified = outcome(made, [at(1, 60_000), at(2, 60_200), at(3, 60_300)])
    assert classified is not None
    assert (classified.begun_anew, ids(classified.genuine), ids(classified.impossible)) == (
        1,
        [1, 2],
        [2**50],
    )


def test_where_our_newest_is_the_lie_rest_stands_at_what_is_awaited_and_nothing_begins_anew() -> None:
    rows = [at(5_020, 100), at(5_021, 200)]
    classified = outcome(held(at(5_021, 200)), rows, known=Mark(9_000, NOW_MS), awaited=range(5_020, 9_000))
    assert classified is not None
    assert classified.begun_anew is None


@pytest.mark.parametrize(
    ("rows", "anew", "genuine"),
    [
        # The exchange was reset while we were away: as new as the trade in doubt, and below what we had.
        ([at(3, 60_000), at(4, 60_100)], 3, [4]),
        # REST knows more than we had: the trade was sent twice.
        ([at(4, 60_100), at(5_040, 60_200)], None, [4]),
        # REST has not come as far.
        ([at(5_010, 40_000)], ..., []),
    ],
)
def test_without_the_time_of_our_newest_trade_that_of_the_doubtful_one_decides(
    rows: Any, anew: Any, genuine: list[int]
) -> None:
    classified = outcome(held(at(4, 60_100)), rows, known=Mark(5_019, None))
    if anew is ...:
        assert classified is None
        return
    assert classified is not None
    assert (classified.begun_anew, ids(classified.genuine)) == (anew, genuine)


def test_no_more_are_held_than_the_bound_and_how_far_they_went_is_known() -> None:
    made = held(*(at(number, 60_000 + number) for number in range(1, MAX_HELD + 501)))
    assert len(made) == MAX_HELD
    classified = outcome(made, [at(number, 60_000 + number) for number in range(501, MAX_HELD + 501)])
    assert classified is not None
    assert classified.not_held is not None
    assert classified.not_held.trade_id == MAX_HELD + 500
