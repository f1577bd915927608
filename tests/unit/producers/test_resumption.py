from __future__ import annotations

from producers.resumption import bars_start, missing_of
from producers.start_positions import FoundRange, OpenHole, StartPosition


def test_bars_between_what_was_found_are_missing() -> None:
    later = (FoundRange(180_000, 240_000, 180_000, 240_000), FoundRange(360_000, 360_000, 360_000, 360_000))
    last, holes = bars_start(StartPosition(60_000, later=later), 60_000, 400_000, 5.0)
    assert last == 360_000
    assert [(hole.first, hole.last) for hole in holes] == [(2, 2), (5, 5)]


def test_a_hole_keeps_how_long_it_was_asked_for() -> None:
    hole = missing_of(OpenHole(3, 4, 100, 200, offline=True, asked=7, since_ms=9_000), 1, 10_000, 50.0)
    assert (hole.first, hole.last, hole.before_ms, hole.after_ms, hole.offline) == (3, 4, 100, 200, True)
    assert (hole.asked, hole.since_s) == (7, 49.0)
