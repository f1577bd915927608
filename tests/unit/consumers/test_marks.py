"""Marks: what is left of a log proves how far a consumer may go on."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from consumers.enrich.port import Known
from consumers.marks import MOST_MARKS, Mark, Spot, Trail, crc_of, with_marks, without_marks

spots = st.none() | st.builds(Spot, st.integers(0, 2**62), st.integers(0, 2**32 - 1))
marks = st.builds(Mark, st.integers(1, 2**62), st.integers(0, 2**32 - 1), spots, spots)


@given(st.lists(marks, max_size=MOST_MARKS), st.sampled_from(["", "minute=29231 read=77"]))
def test_marks_survive_the_commit(marks: list[Mark], text: str) -> None:
    committed = with_marks(text, Trail(marks))
    assert len(committed) < 4_096  # the broker's offset.metadata.max.bytes
    assert without_marks(committed)[0] == text
    assert without_marks(committed)[1].marks == marks


def test_what_another_version_committed_is_no_mark() -> None:
    assert without_marks("minute=1 read=2")[1].marks == []
    text, trail = without_marks("minute=1 read=2 marks=zz,,5.a::,5")
    assert (text, trail.marks) == ("minute=1 read=2", [Mark(5, 10)])


def test_marks_are_few_and_ever_wider_apart() -> None:
    trail = Trail()
    for position in range(10, 1_000_000, 10):
        trail.add(Mark(position, 0))
        assert len(trail.marks) <= MOST_MARKS
    distances = [999_990 - mark.position for mark in trail.marks]
    assert distances[:2] == [0, 10]
    assert all(later <= 8 * sooner for sooner, later in pairwise(distances[1:]))
    assert distances[-1] > 100_000


def test_a_partition_that_is_read_again_marks_its_way_anew() -> None:
    trail = Trail([Mark(50, 1), Mark(20, 2)])
    trail.add(Mark(30, 3))
    assert [mark.position for mark in trail.marks] == [30, 20]


def test_a_checksum_tells_key_from_value() -> None:
    assert len({crc_of(b"ab", b"c"), crc_of(None, b"abd"), crc_of(b"ab", None)}) == 3


def test_reading_goes_on_at_the_committed_offset_while_the_newest_mark_is_true() -> None:
    known = Known(0, 100, committed=40, trail=Trail([Mark(60, 1), Mark(30, 2)]), proved=60)
    assert (known.resume, known.cut, known.note, known.read_before) == (40, False, None, 60)


def test_reading_goes_back_to_what_is_proved() -> None:
    known = Known(0, 100, committed=40, trail=Trail([Mark(60, 1), Mark(30, 2)]), proved=30)
    assert (known.resume, known.cut) == (30, True)
    assert known.read_before > 10**18
    assert known.note is not None
    assert "reading from 30" in known.note


def test_where_nothing_is_proved_everything_is_read() -> None:
    assert Known(7, 100, committed=40, trail=Trail([Mark(60, 1)]), proved=0).resume == 7


def test_what_was_committed_without_marks_is_believed_while_it_is_in_range() -> None:
    assert Known(0, 100, committed=40).resume == 40
    assert Known(3, 30, committed=40).resume == 3
