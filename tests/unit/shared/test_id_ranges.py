from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shared.id_ranges import IdRanges

RANGES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    max_size=12,
)


def as_set(ranges: list[tuple[int, int]]) -> set[int]:
    return {item for first, last in ranges for item in range(first, last + 1)}


@given(RANGES)
def test_ranges_hold_exactly_the_ids_added(ranges: list[tuple[int, int]]) -> None:
    ids = IdRanges(ranges)
    assert as_set(list(ids)) == as_set(ranges)
    assert ids.id_count() == len(as_set(ranges))
    assert all((item in ids) == (item in as_set(ranges)) for item in range(-1, 75))


@given(RANGES)
def test_ranges_are_sorted_and_never_touch(ranges: list[tuple[int, int]]) -> None:
    kept = list(IdRanges(ranges))
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(kept))


@given(RANGES, RANGES)
def test_adding_in_any_order_and_twice_changes_nothing(
    one: list[tuple[int, int]], two: list[tuple[int, int]]
) -> None:
    assert IdRanges([*one, *two]) == IdRanges([*two, *one, *two])


@given(RANGES, RANGES)
def test_difference_is_set_difference(one: list[tuple[int, int]], two: list[tuple[int, int]]) -> None:
    assert as_set(list(IdRanges(one).difference(IdRanges(two)))) == as_set(one) - as_set(two)


@given(RANGES, st.integers(0, 70), st.integers(0, 20))
def test_intersection_counts_ids_inside(ranges: list[tuple[int, int]], first: int, length: int) -> None:
    inside = as_set(ranges) & set(range(first, first + length + 1))
    assert IdRanges(ranges).intersection_count(first, first + length) == len(inside)


@given(RANGES, st.integers(0, 70), st.integers(0, 20))
def test_ranges_within_bounds_are_cut_to_them(ranges: list[tuple[int, int]], first: int, length: int) -> None:
    ids = IdRanges(ranges)
    inside = as_set(ranges) & set(range(first, first + length + 1))
    assert as_set(list(ids.within(first, first + length))) == inside
    assert ids.range_count() == len(list(ids))


def test_more_ids_than_fit_into_memory_are_a_few_ranges() -> None:
    ids = IdRanges([(1, 2**60), (2**61, 2**63)])
    assert list(ids) == [(1, 2**60), (2**61, 2**63)]
    assert ids.id_count() == 2**60 + 2**63 - 2**61 + 1
    assert repr(ids) == f"IdRanges([(1, {2**60}), ({2**61}, {2**63})])"
