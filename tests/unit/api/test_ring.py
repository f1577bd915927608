from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.ring import Ring, capacity
from consumers.tap.port import Filled, LiveRow, Source
from consumers.tap.series import live_kinds
from tests.live_topics import KINDS, KLINE, LEVELS

SOURCE = Source("market.klines.1m", 3, "aaaaaa")


def bar(minute: int, offset: int, close: float = 1.0) -> LiveRow:
    return LiveRow(minute * 60_000_000_000, (1.0, close), offset, minute * 60_000)


def ring_of(*rows: LiveRow, most: int = 4, low: int = 0) -> Ring:
    ring = Ring(KINDS["kline"], most)
    ring.fill(Filled(KLINE, SOURCE, rows, low, rows[-1].offset + 1 if rows else low))
    return ring


def test_each_kind_has_the_rows_that_a_page_shows() -> None:
    rows = {name: capacity(kind) for name, kind in live_kinds(()).items()}
    assert {name for name, most in rows.items() if most == 1_500} == {
        "kline", "indicator", "trade_summary", "ledger",
    }  # fmt: skip
    assert rows["trade"] == 2_000
    assert rows["book"] == rows["levels"] == 600
    assert rows["open_bar"] == rows["kline_live"] == rows["service"] == 1


def test_the_oldest_rows_go_and_low_says_so() -> None:
    ring = ring_of(*(bar(minute, minute) for minute in range(6)))
    assert [row.offset for row in ring.snapshot(10)] == [2, 3, 4, 5]
    assert (ring.low, ring.end) == (2, 6)


def test_a_row_that_comes_again_replaces_the_former() -> None:
    ring = ring_of(bar(1, 1), bar(2, 2))
    ring.add([bar(1, 3, 9.0)], 4)
    assert [(row.time_ns // 60_000_000_000, row.values[1]) for row in ring.snapshot(10)] == [
        (1, 9.0),
        (2, 1.0),
    ]
    assert len(ring) == 2


def test_a_late_repair_does_not_push_out_newer_rows() -> None:
    ring = ring_of(*(bar(minute, minute) for minute in range(10, 14)), low=10)
    ring.add([bar(5, 14)], 15)
    assert [row.offset for row in ring.snapshot(10)] == [10, 11, 12, 13]
    assert ring.low == 15  # a resume from before it reads the topic, where it is


def test_the_newest_rows_and_the_rows_from_an_offset_on() -> None:
    ring = ring_of(bar(1, 3), bar(2, 5), bar(3, 8), low=3)

    def offsets(first: int) -> list[int]:
        return [row.offset for _, row in ring.rows(first, ring.next_number)]

    assert offsets(ring.first_of_newest(2)) == [5, 8]
    assert offsets(ring.first_of_newest(0)) == []
    assert offsets(ring.first_of_newest(99)) == [3, 5, 8]
    assert offsets(ring.first_from(4)) == [5, 8]
    assert offsets(ring.first_from(9)) == []
    assert offsets(ring.first_from(0)) == [3, 5, 8]


def test_the_newest_rows_are_those_of_the_newest_times_though_repairs_came_after_them() -> None:
    ring = ring_of(bar(1, 1), bar(2, 2), bar(3, 3))
    ring.add([bar(1, 4, 9.0), bar(2, 5, 9.0)], 6)
    assert [row.offset for row in ring.snapshot(1)] == [3]
    assert [row.offset for row in ring.snapshot(2)] == [5, 3]
    first = ring.first_of_newest(1)
    assert [row.offset for _, row in ring.rows(first, ring.next_number)] == [3, 4, 5]


def test_a_forgotten_ring_is_read_again_without_a_seam() -> None:
    ring = ring_of(*(bar(minute, minute) for minute in range(4)))
    ring.forget()
    assert (len(ring), ring.bytes) == (0, 0)
    ring.add([bar(4, 4)], 5)
    assert len(ring) == 0
    ring.await_refill()
    ring.add([bar(5, 5)], 6)
    ring.refill([bar(minute, minute) for minute in range(2, 6)], 2)
    assert [row.offset for row in ring.snapshot(10)] == [2, 3, 4, 5]
    assert (ring.low, ring.end, ring.filled) == (2, 6, True)


def test_what_cannot_be_read_again_keeps_its_newest_row() -> None:
    ring = Ring(KINDS["levels"], 10)
    rows = tuple(LiveRow(time_ns, (True, []), -1, 0) for time_ns in (1, 2))
    ring.fill(Filled(LEVELS, None, rows, 0, 0))
    ring.forget()
    assert [row.time_ns for row in ring.snapshot(10)] == [2]
    assert not ring.forgotten


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 30)), max_size=60), st.integers(1, 6))
def test_bytes_are_those_of_the_rows_that_are_there(rows: list[tuple[int, int]], most: int) -> None:
    ring = Ring(KINDS["levels"], most)
    for time_ns, levels in rows:
        ring.add([LiveRow(time_ns, (True, [(1.0, 1.0)] * levels), -1, 0)], 0)
    again = Ring(KINDS["levels"], most)
    again.add(ring.snapshot(99), 0)
    assert ring.bytes == again.bytes
    assert len(ring) <= most
    ring.shrink(0)
    assert ring.bytes == 0
