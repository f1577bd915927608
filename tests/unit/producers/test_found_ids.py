"""Ids on a topic as ranges: exact, and small however many there are."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from producers.found_ids import FoundIds, FoundRange

MINUTE = 60_000


def test_ranges_end_with_the_minute() -> None:
    found = FoundIds()
    for item in range(6):
        found.add(item, item * MINUTE // 3)
    assert found.ranges() == [FoundRange(0, 2, 0, 2 * MINUTE // 3), FoundRange(3, 5, MINUTE, 5 * MINUTE // 3)]


def test_bars_are_neighbours_an_interval_apart() -> None:
    found = FoundIds(1_000)
    for open_ms in (1_000, 2_000, 4_000):
        found.add(open_ms, open_ms)
    assert [each[:2] for each in found.ranges()] == [(1_000, 2_000), (4_000, 4_000)]


@given(st.lists(st.integers(0, 30), max_size=60))
def test_any_order_and_any_repetition_gives_the_set(items: list[int]) -> None:
    found = FoundIds()
    for item in items:
        found.add(item, item * 7_000)
    ranges = found.ranges()
    assert [item for first, last, *_ in ranges for item in range(first, last + 1)] == sorted(set(items))
    assert all(before.last < after.first for before, after in pairwise(ranges))
    assert bool(found) == bool(items)


def test_a_repair_of_a_million_ids_beside_the_stream_takes_next_to_no_memory() -> None:
    found = FoundIds()
    tracemalloc.start()
    try:
        for number in range(200_000):
            found.add(number, 0)
            found.add(10_000_000 + number, MINUTE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [each[:2] for each in found.ranges()] == [(0, 199_999), (10_000_000, 10_199_999)]
    assert peak < 100_000
