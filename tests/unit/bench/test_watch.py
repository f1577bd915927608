"""The pace of stored points is that between the first and the last of them."""

from __future__ import annotations

import pytest

from bench.watch import Pace, pace_of


@pytest.mark.parametrize(
    ("seen", "pace"),
    [
        # Waiting before the first points and after the last ones does not count, nor do the first ones.
        ([(0, 5), (9, 5), (10, 25), (11, 65), (12, 105), (15, 105)], Pace(0.8, 2)),
        ([(0, 0), (1, 10), (2, 10), (3, 20)], Pace(0.5, 2)),
        # All at once: between two looks.
        ([(0, 5), (9, 5), (10, 105), (15, 105)], Pace(1.0, 1)),
        ([(0, 0), (2, 50)], Pace(1.0, 2)),
    ],
)
def test_waiting_and_the_first_points_are_left_out(seen: list[tuple[float, int]], pace: Pace) -> None:
    assert pace_of(seen) == pace
