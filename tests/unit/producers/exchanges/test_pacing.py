from __future__ import annotations

from producers.exchanges.pacing import Pacer


def test_a_burst_goes_at_once_and_the_next_ones_at_the_pace() -> None:
    pacer = Pacer(0.5, 3)
    assert [pacer.take(100.0) for _ in range(5)] == [0.0, 0.0, 0.0, 2.0, 4.0]
    assert pacer.take(104.0) == 2.0
    assert pacer.used == 6 and pacer.allowed == 30


def test_the_burst_comes_back_but_no_more_than_it() -> None:
    pacer = Pacer(1.0, 2)
    for _ in range(2):
        pacer.take(0.0)
    assert [pacer.take(1_000.0) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert pacer.used == 3  # those of the last minute


def test_what_may_be_left_out_leaves_half_of_the_burst() -> None:
    pacer = Pacer(1.0, 4)
    assert pacer.spare(0.0)
    for _ in range(3):
        pacer.take(0.0)
    assert not pacer.spare(0.0) and pacer.spare(1.0)
    pacer.close(1.0, 5.0)
    assert not pacer.spare(2.0) and pacer.closed_s(2.0) == 4.0 and pacer.closed_s(9.0) == 0.0


def test_a_clock_that_stands_gives_nothing_back() -> None:
    pacer = Pacer(1.0, 1)
    assert [pacer.take(5.0) for _ in range(3)] == [0.0, 1.0, 2.0]
