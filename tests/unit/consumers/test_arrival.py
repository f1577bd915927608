"""Times far beyond their record's arrival are lies, unless all say so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.arrival import AHEAD_MS, MAX_TIME_MS, Arrivals, TimeAhead, require_arrived
from shared.errors import InvalidMessage
from shared.messages import TradeMessage
from tests.builders import NOW_MS, trade

HOUR_MS = 3_600_000


def ahead(by_ms: int, **fields: Any) -> TimeAhead:
    """What holding a trade of a time so far beyond its arrival comes to."""
    time_ms = NOW_MS + by_ms
    message = trade(trade_time_ms=time_ms, received_time_ms=NOW_MS, **({"event_time_ms": time_ms} | fields))
    with pytest.raises(TimeAhead) as caught:
        require_arrived("trade_time_ms", time_ms, message)
    return caught.value


def sound(count: int, **fields: Any) -> list[TradeMessage]:
    return [trade(received_time_ms=NOW_MS + 5, **fields) for _ in range(count)]


def test_a_time_up_to_the_tolerance_is_fine() -> None:
    require_arrived("trade_time_ms", NOW_MS + AHEAD_MS, trade(received_time_ms=NOW_MS))
    assert ahead(AHEAD_MS + 1).ahead_ms == AHEAD_MS + 1


def test_a_time_far_beyond_its_own_event_needs_no_other_witness() -> None:
    with pytest.raises(InvalidMessage, match="trade_time_ms") as caught:
        require_arrived("trade_time_ms", NOW_MS + 100 * HOUR_MS, trade())
    assert not isinstance(caught.value, TimeAhead)


def test_a_time_that_fits_no_point_is_refused_whenever_it_arrived() -> None:
    with pytest.raises(InvalidMessage, match="2262"):
        require_arrived("trade_time_ms", MAX_TIME_MS + 1, trade(received_time_ms=MAX_TIME_MS + 1))


def test_one_that_most_others_do_not_bear_out_is_refused() -> None:
    arrivals = Arrivals()
    lie = ahead(50 * HOUR_MS)
    assert arrivals.receive(sound(3), [lie], 0.0) == [lie]


def test_one_alone_is_held_to_those_before_it() -> None:
    arrivals = Arrivals()
    for _ in range(3):
        arrivals.receive(sound(1), [], 0.0)
    lie = ahead(50 * HOUR_MS)
    assert arrivals.receive([], [lie], 0.0) == [lie]


@pytest.mark.parametrize("behind_ms", [HOUR_MS, 24 * HOUR_MS, 30 * 24 * HOUR_MS])
def test_a_clock_of_ours_that_is_behind_refuses_nothing(behind_ms: int) -> None:
    arrivals = Arrivals()
    for count in (1, 2, 40, 1):
        errors = [ahead(behind_ms - number) for number in range(count)]
        # Bars of a warm-up are old, which tells nothing of clocks.
        assert arrivals.receive(sound(1_000, source="backfill", event_time_ms=None), errors, 0.0) == []
    lie = ahead(behind_ms + 50 * HOUR_MS)
    assert arrivals.receive([], [lie], 0.0) == [lie]


def test_a_clock_that_is_set_back_is_noticed_within_a_batch() -> None:
    arrivals = Arrivals()
    arrivals.receive(sound(15), [], 0.0)
    assert arrivals.receive([], [ahead(HOUR_MS) for _ in range(100)], 0.0) == []
    assert arrivals.receive([], [ahead(HOUR_MS)], 0.0) == []


@pytest.mark.parametrize("silent_s", [0.0, 60.0])
def test_a_clock_that_is_set_back_refuses_nothing_that_follows_on_what_came_before(silent_s: float) -> None:
    # The first records after it are fewer than those before; found by a simulation (seed 32).
    arrivals = Arrivals()
    for second in range(15):
        arrivals.receive(sound(1, event_time_ms=NOW_MS + second * 1_000), [], float(second))
    first = trade(event_time_ms=NOW_MS + 15_000 + round(silent_s * 1_000))
    error = TimeAhead(
        "trade_time_ms",
        first["event_time_ms"] or 0,
        {**first, "received_time_ms": (first["event_time_ms"] or 0) - 30_000},
    )
    assert arrivals.receive([], [error], 15.0 + silent_s) == []


def test_what_follows_on_a_lie_is_a_lie() -> None:
    arrivals = Arrivals()
    arrivals.receive(sound(15), [], 0.0)
    lies = [ahead(HOUR_MS + second * 1_000) for second in range(5)]
    assert [arrivals.receive([], [lie], 1.0 + at) for at, lie in enumerate(lies)] == [[lie] for lie in lies]


def test_what_was_accepted_for_want_of_others_confirms_nothing() -> None:
    arrivals = Arrivals()
    assert arrivals.receive([], [ahead(50 * HOUR_MS)], 0.0) == []
    lie = ahead(50 * HOUR_MS + 1_000)
    assert arrivals.receive(sound(15), [lie], 1.0) == [lie]


@pytest.mark.thorough
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(2, 10**6))
def test_lies_never_pass_while_most_records_are_sound(batches: list[int], hours: int) -> None:
    arrivals = Arrivals()
    arrivals.receive(sound(15), [], 0.0)
    for lies in batches:
        errors = [ahead(hours * HOUR_MS + number) for number in range(lies)]
        assert arrivals.receive(sound(2 * lies + 1), errors, 0.0) == errors
