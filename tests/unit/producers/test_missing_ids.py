"""Which missing ids are asked for, when, and how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.missing_ids import (
    DELAYS_S,
    LEAST_ASKED,
    PATIENCE_S,
    SOON_S,
    MissingIds,
    MissingRange,
    delay_s,
)
from shared.id_ranges import IdRanges

PAGE = 1_000


def missing(*ranges: tuple[int, int]) -> MissingIds:
    ids = MissingIds()
    for first, last in ranges:
        ids.add(MissingRange(first, last, None, 0, offline=False))
    return ids


def bounds(ids: MissingIds) -> list[tuple[int, int]]:
    return [(each.first, each.last) for each in ids]


def test_what_was_never_asked_for_is_due_at_once_and_what_was_after_its_delay() -> None:
    ids = missing((10, 12))
    assert ids.due(0.0, PAGE) == (10, 12)
    for asked, delay in enumerate(DELAYS_S, 1):
        now_s = 1_000_000.0 * asked
        assert ids.unanswered(10, 12, now_s) == []
        assert ids.due(now_s + delay - 0.1, PAGE) is None
        assert ids.due(now_s + delay, PAGE) == (10, 12)
        assert ids.soon == (asked <= len(SOON_S))


def test_a_page_reaches_the_holes_after_the_one_that_is_due() -> None:
    assert missing((10, 12), (500, 600), (1_005, 2_000)).due(0.0, PAGE) == (10, 1_009)


@pytest.mark.parametrize(
    ("asked", "age_s", "over"),
    [
        (LEAST_ASKED, PATIENCE_S, True),
        (LEAST_ASKED - 1, PATIENCE_S, False),
        (LEAST_ASKED, PATIENCE_S - 1, False),
    ],
)
def test_patience_ends_after_a_day_and_often_enough_alone(asked: int, age_s: float, over: bool) -> None:
    ids = missing((1, 1))
    for _ in range(asked - 1):
        ids.unanswered(1, 1, 0.0)
    assert bool(ids.unanswered(1, 1, age_s)) is over


def test_the_delays_ask_for_a_day_often_enough_to_end_it() -> None:
    now_s, asked = 0.0, 0
    while now_s < PATIENCE_S:
        asked += 1
        now_s += delay_s(asked)
    assert asked > LEAST_ASKED


def test_a_long_hole_of_which_no_page_is_given_stays_one_range() -> None:
    ids = missing((0, 99_999))
    now_s = 0.0
    while (page := ids.due(now_s, PAGE)) is not None:
        ids.unanswered(*page, now_s)
    assert (ids.range_count(), ids.id_count()) == (1, 100_000)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["remove", "unanswered"]), st.integers(0, 60), st.integers(0, 20)),
        max_size=30,
    )
)
def test_ids_are_those_of_a_set_whatever_is_removed_or_asked_for(steps: list[tuple[str, int, int]]) -> None:
    ids, plain = missing((5, 20), (25, 25), (30, 50)), IdRanges([(5, 20), (25, 25), (30, 50)])
    for number, (step, first, length) in enumerate(steps):
        if step == "remove":
            ids.remove(first, first + length)
            plain.remove(first, first + length)
        else:
            ids.unanswered(first, first + length, float(number))
        assert IdRanges(bounds(ids)) == plain
        assert ids.id_count() == plain.id_count()
        assert all(before[1] < after[0] for before, after in zip(bounds(ids), bounds(ids)[1:], strict=False))
        assert [item in ids for item in range(60)] == [item in plain for item in range(60)]
