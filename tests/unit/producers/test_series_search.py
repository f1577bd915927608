"""A power cut takes the end of a topic, of its progress or of both: a series stands where its topic says."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.progress import Progress
from producers.series_search import FoundIds, Place, Record, SeriesSearch
from producers.start_positions import FoundRange, OpenHole, StartPosition

TOPIC = "market.trades"
MINUTE = 60_000


@dataclass(slots=True)
class Partition:
    """One partition: the record at each offset, None where it is another series'."""

    records: list[Record | None]
    low: int = 0

    @classmethod
    def of(cls, *idents: int | None, repaired: frozenset[int] = frozenset()) -> Partition:
        return cls(
            [
                None if ident is None else Record(offset, ident, ident * 10, ident in repaired)
                for offset, ident in enumerate(idents)
            ]
        )

    def search(self, *candidates: Progress) -> SeriesSearch:
        """The newest candidate first."""
        search = SeriesSearch(Place(TOPIC, 3, self.low, len(self.records), 1), candidates)
        while search.start is not None:
            for record in self.records[search.start :]:
                if record is not None and not search.satisfied:
                    search.receive(record)
            if search.conclude():
                break
        return search


def at(last_id: int | None, offset: int, *missing: OpenHole, after: int | None = None) -> Progress:
    return Progress(
        last_id, TOPIC, 3, offset, 1_000, 2_000, stopped=after is not None, after=after or 0, missing=missing
    )


def ids(start_positions: StartPosition | None) -> list[int]:
    assert start_positions is not None
    return [item for found in start_positions.later for item in range(found.first, found.last + 1)]


def test_what_lies_behind_a_true_progress_is_there_too() -> None:
    search = Partition.of(1, 2, None, 3, 4, 6).search(at(3, 3))
    assert search.start_positions == StartPosition(
        3, (), (FoundRange(4, 4, 40, 40), FoundRange(6, 6, 60, 60)), 1_000
    )
    assert search.progress == at(3, 3)


def test_progress_beyond_the_end_of_a_topic_is_not_believed() -> None:
    search = Partition.of(1, 2, 3).search(at(9, 8), at(2, 1))
    assert (search.progress, search.start_positions) == (
        at(2, 1),
        StartPosition(2, (), (FoundRange(3, 3, 30, 30),), 1_000),
    )


def test_progress_whose_offset_has_another_record_is_not_believed() -> None:
    # Ids 3 to 6 were cut off; the producer of another series, then ours, wrote where they had been.
    search = Partition.of(1, 2, None, 7, 8).search(at(5, 4), at(4, 3), at(3, 2), at(2, 1), at(1, 0))
    assert (search.progress, ids(search.start_positions)) == (at(1, 0), [2, 7, 8])


def later_than(last_id: int, span: tuple[int, int]) -> StartPosition:
    first, last = span
    return StartPosition(last_id, (), (FoundRange(first, last, first * 10, last * 10),))


def test_without_a_true_progress_the_topic_is_read_backwards() -> None:
    search = Partition.of(5, 6, 7).search(at(9, 8))
    assert (search.progress, search.start_positions) == (None, later_than(4, (5, 7)))
    assert Partition.of(5, 6, 7).search().start_positions == later_than(4, (5, 7))


def test_backwards_a_repair_is_no_bearing() -> None:
    search = Partition.of(50, 900, 901, repaired=frozenset((50,))).search()
    assert search.start_positions == StartPosition(899, (), (FoundRange(900, 901, 9000, 9010),))


def test_holes_that_were_open_are_open_but_for_what_has_come_since() -> None:
    hole = OpenHole(4, 9, 1, 2, asked=3, since_ms=4)
    search = Partition.of(10, 6, 7, 11).search(at(10, 0, hole))
    assert search.start_positions == StartPosition(
        10, (replace(hole, last=5), replace(hole, first=8)), (FoundRange(11, 11, 110, 110),), 1_000
    )


def test_repairs_that_a_cut_took_are_missing_again() -> None:
    hole = OpenHole(4, 5)
    before, after = at(6, 1, hole), at(7, 4)
    whole = Partition.of(3, 6, 4, 5, 7)
    assert whole.search(after, before).start_positions == StartPosition(7, time_ms=1_000)
    cut = Partition(whole.records[:3])
    assert cut.search(after, before).start_positions == StartPosition(6, (OpenHole(5, 5),), time_ms=1_000)


def test_a_series_killed_before_its_first_progress_begins_with_its_first_record() -> None:
    assert Partition.of(5, 6).search(at(None, 0)).start_positions == later_than(4, (5, 6))
    assert Partition.of(None, None).search(at(None, 1)).start_positions is None


def test_a_series_with_a_marker_alone_begins_with_the_lowest_though_one_of_the_stream_came_first() -> None:
    search = Partition.of(9, 7, 8, repaired=frozenset({7, 8})).search(at(None, 0))
    assert (
        ids(search.start_positions),
        search.start_positions.last_id if search.start_positions else None,
    ) == ([7, 8, 9], 6)


def test_a_series_whose_beginning_is_gone_too_is_told_from_one_that_begins() -> None:
    """The whole log was cut off; a producer that lived through it wrote on."""
    search = Partition.of(None, 50, 51).search(at(9, 8), at(None, 0))
    assert search.beginning_lost
    assert ids(search.start_positions) == [50, 51]
    assert Partition.of(None, 50, 51).search(at(9, 8)).beginning_lost
    assert not Partition.of(None, 50, 51).search(at(None, 0)).beginning_lost
    assert not Partition.of(None, 50, 51).search(at(50, 1), at(None, 0)).beginning_lost


def test_bars_that_were_acknowledged_before_any_progress_and_are_gone_are_noticed() -> None:
    # After a power cut the queued bars take the offsets of the lost ones; found by a simulation (seed 102).
    begun_ms = 10 * MINUTE + 5_000
    marker = replace(at(None, 0), event_time_ms=begun_ms)

    def search(first_open_ms: int) -> SeriesSearch:
        found = SeriesSearch(Place(TOPIC, 3, 0, 1, MINUTE), (marker,))
        found.receive(Record(0, first_open_ms, first_open_ms, False))
        found.conclude()
        return found

    assert search(13 * MINUTE).beginning_lost
    assert not search(10 * MINUTE).beginning_lost
    assert not search(7 * MINUTE).beginning_lost


def test_a_marker_beyond_the_end_still_finds_what_was_written_since() -> None:
    assert Partition.of(None, 5, 6).search(at(None, 90)).start_positions == later_than(4, (5, 6))


def test_what_the_topic_keeps_no_more_is_not_held_against_progress() -> None:
    old = Partition([None, None, Record(2, 9, 90, False)], low=2)
    assert old.search(at(4, 0)).start_positions == StartPosition(4, (), (FoundRange(9, 9, 90, 90),), 1_000)


def test_of_a_producer_that_stopped_in_good_order_no_more_is_read_than_it_wrote() -> None:
    partition = Partition.of(1, 2, 3, *[None] * 50)
    search = SeriesSearch(Place(TOPIC, 3, 0, 53, 1), [at(1, 0, after=2)])
    for record in partition.records[:3]:
        assert not search.satisfied
        assert record is not None
        search.receive(record)
    assert search.satisfied
    assert search.conclude()
    assert search.start_positions == replace(later_than(1, (2, 3)), time_ms=1_000)


def test_the_last_record_is_known_whatever_it_is() -> None:
    search = Partition.of(3, 6, 4, 5, None, repaired=frozenset((4, 5))).search(at(6, 1, OpenHole(4, 5)))
    assert search.last == Record(3, 5, 50, True)
    assert Partition.of(3, None).search(at(3, 0)).last == Record(0, 3, 30, False)
    assert Partition.of(None).search(at(None, 0)).last is None


def test_nothing_is_read_of_an_empty_topic() -> None:
    assert SeriesSearch(Place(TOPIC, 3, 0, 0, 1), []).start is None


@pytest.mark.parametrize("count", [1, 2, 3, 17, 1_000])
def test_the_oldest_progress_is_tried_before_the_topic_is_read_backwards(count: int) -> None:
    false = [at(1_000 - number, 1_000 - number) for number in range(count - 1)]
    partition = Partition.of(1, *range(5_000, 6_500))
    assert partition.search(*false, at(1, 0)).progress == at(1, 0)


@given(
    cut=st.integers(0, 40),
    written=st.lists(st.integers(100, 120), max_size=8, unique=True),
    noted=st.sets(st.integers(0, 39), max_size=6),
    kept=st.integers(0, 6),
)
def test_after_any_cut_the_bearings_are_what_the_topic_has(
    cut: int, written: list[int], noted: set[int], kept: int
) -> None:
    """40 records in order, cut, new ones behind; any of the progress that was written survives."""
    records = [Record(offset, offset + 1, 0, False) for offset in range(40)][:cut]
    records += [Record(cut + place, ident, 0, False) for place, ident in enumerate(sorted(written))]
    candidates = [at(offset + 1, offset) for offset in sorted(noted, reverse=True)][-kept:] if kept else []
    partition = Partition(list(records))
    start_positions = partition.search(*candidates, at(None, 0)).start_positions
    there = {record.ident for record in records}
    if not there:
        assert start_positions is None
        return
    assert start_positions is not None
    assert set(range(1, start_positions.last_id + 1)) <= there | set(range(1, min(there)))
    assert {*range(min(there), start_positions.last_id + 1), *ids(start_positions)} == there


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


@pytest.mark.thorough
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
