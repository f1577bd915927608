"""When the exchange was closed: as it says, and as a recording knows."""

from __future__ import annotations

from producers.gaps import holes_of_bars
from producers.halts import Halts

MINUTE_MS = 60_000


def test_bars_that_a_recorded_exchange_does_not_have_are_halted_to_the_bar() -> None:
    halts = Halts()
    halts.receive_recorded([(2 * MINUTE_MS, 5 * MINUTE_MS - 1), (7 * MINUTE_MS, 8 * MINUTE_MS - 1)])
    holes = holes_of_bars(MINUTE_MS, 9 * MINUTE_MS, MINUTE_MS, no_trades=False, halts=halts, offline_last=-1)
    assert [(hole.first // MINUTE_MS, hole.last // MINUTE_MS, hole.cause) for hole in holes] == [
        (1, 1, "missed"),
        (2, 4, "halted"),
        (5, 6, "missed"),
        (7, 7, "halted"),
        (8, 9, "missed"),
    ]
    # What a recording does not have needs no further proof.
    assert list(halts.closed_bars(MINUTE_MS, 9 * MINUTE_MS, MINUTE_MS)) == [(2, 4), (7, 7)]


def test_the_newest_status_is_known_in_the_exchanges_own_word() -> None:
    halts = Halts()
    said = [(halts.status, halts.halted)]
    for time_ms, status in enumerate(("BREAK", "TRADING")):
        halts.receive_status(status, time_ms)
        said.append((halts.status, halts.halted))
    assert said == [(None, False), ("BREAK", True), ("TRADING", False)]


def test_a_recorded_halt_within_one_bar_halts_none() -> None:
    halts = Halts()
    halts.receive_recorded([(MINUTE_MS + 1, 2 * MINUTE_MS - 1)])
    assert list(halts.halted_bars(0, 9 * MINUTE_MS, MINUTE_MS)) == []
