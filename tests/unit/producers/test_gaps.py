"""Where holes are, and why."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.gaps import Continuity, Hole, cause_of_trades, continuity, holes_of_bars
from producers.halts import Halts
from shared.id_ranges import IdRanges
from tests.builders import NOW_MS

MINUTE = 60_000


def bars(
    first: int, last: int, *, no_trades: bool = False, halts: Halts | None = None, offline: int = -1
) -> list[Hole]:
    """Holes among bars numbered from NOW_MS."""
    holes = holes_of_bars(
        NOW_MS + first * MINUTE,
        NOW_MS + last * MINUTE,
        MINUTE,
        no_trades=no_trades,
        halts=halts or Halts(),
        offline_last=NOW_MS + offline * MINUTE,
    )
    return [Hole((low - NOW_MS) // MINUTE, (high - NOW_MS) // MINUTE, cause) for low, high, cause in holes]


def halted(first_ms: int, last_ms: int) -> Halts:
    """Seen open before, closed from the first to before the last time."""
    halts = Halts()
    halts.receive_status("TRADING", first_ms - 10_000_000)
    halts.receive_status("BREAK", first_ms)
    halts.receive_status("TRADING", last_ms)
    return halts


@pytest.mark.parametrize(
    ("known", "first", "last", "step", "expected"),
    [
        (100, 101, 101, 1, Continuity.CONTIGUOUS),
        (100, 100, 100, 1, Continuity.DUPLICATE),
        (100, 102, 102, 1, Continuity.GAP),
        (100, 95, 103, 1, Continuity.CONTIGUOUS),
        (100, 90, 99, 1, Continuity.DUPLICATE),
        (NOW_MS, NOW_MS + MINUTE, NOW_MS + MINUTE, MINUTE, Continuity.CONTIGUOUS),
        (NOW_MS, NOW_MS + 2 * MINUTE, NOW_MS + 2 * MINUTE, MINUTE, Continuity.GAP),
    ],
)
def test_ids_are_seen_join_or_lie_beyond(
    known: int, first: int, last: int, step: int, expected: Continuity
) -> None:
    assert continuity(known, first, last, step) is expected


@given(ids=st.sets(st.integers(0, 200), min_size=1))
def test_what_lies_between_the_ids_delivered_is_exactly_what_is_missing(ids: set[int]) -> None:
    delivered = sorted(ids)
    missing = {
        number
        for known, following in pairwise(delivered)
        if continuity(known, following, following) is Continuity.GAP
        for number in range(known + 1, following)
    }
    assert missing | ids == set(range(delivered[0], delivered[-1] + 1))
    assert not missing & ids


def test_bars_with_joining_trade_ids_around_them_had_no_trades_whatever_else_happened() -> None:
    assert bars(1, 9, no_trades=True, halts=halted(NOW_MS, NOW_MS + MINUTE), offline=5) == [
        Hole(1, 9, "no trades")
    ]


def test_bars_are_offline_up_to_the_start_and_missed_after_it() -> None:
    assert bars(-3, 2) == [Hole(-3, -1, "offline"), Hole(0, 2, "missed")]


def test_bars_of_a_halt_are_halted_also_while_we_were_off() -> None:
    halts = halted(NOW_MS + 10 * MINUTE, NOW_MS + 20 * MINUTE)
    # Status is polled: four minutes before may have been closed too.
    assert bars(0, 30, halts=halts, offline=12) == [
        Hole(0, 5, "offline"),
        Hole(6, 20, "halted"),
        Hole(21, 30, "missed"),
    ]


def test_an_exchange_that_was_closed_when_first_asked_was_closed_all_the_time_before() -> None:
    halts = Halts()
    halts.receive_status("BREAK", NOW_MS)
    assert bars(-100, -1, halts=halts) == [Hole(-100, -1, "halted")]


def test_bars_after_the_look_that_said_open_were_in_no_halt() -> None:
    halts = Halts()
    halts.receive_status("BREAK", NOW_MS)
    halts.receive_status("TRADING", NOW_MS + MINUTE)
    assert bars(2, 4, halts=halts) == [Hole(2, 4, "missed")]


def test_only_what_lies_between_two_looks_that_said_closed_is_surely_closed() -> None:
    halts = Halts()
    for status, minute in (("TRADING", 0), ("BREAK", 2), ("BREAK", 5), ("TRADING", 6), ("BREAK", 9)):
        halts.receive_status(status, NOW_MS + minute * MINUTE)
    first = NOW_MS // MINUTE
    assert list(halts.closed_bars(NOW_MS - MINUTE, NOW_MS + 20 * MINUTE, MINUTE)) == [(first + 2, first + 4)]


@given(
    first=st.integers(-50, 50),
    length=st.integers(0, 60),
    halt=st.tuples(st.integers(-60, 60), st.integers(1, 30)),
    offline=st.integers(-60, 60),
)
def test_every_missing_bar_has_exactly_one_cause(
    first: int, length: int, halt: tuple[int, int], offline: int
) -> None:
    begin_ms = NOW_MS + halt[0] * MINUTE
    holes = bars(first, first + length, halts=halted(begin_ms, begin_ms + halt[1] * MINUTE), offline=offline)
    assert [hole.first for hole in holes[1:]] == [hole.last + 1 for hole in holes[:-1]]
    assert IdRanges((low, high) for low, high, _ in holes) == IdRanges([(first, first + length)])


def test_trades_are_halted_only_if_the_exchange_was_seen_closed_between_the_known_ones() -> None:
    halts = halted(NOW_MS, NOW_MS + MINUTE)
    assert cause_of_trades(NOW_MS - 5, NOW_MS + 5, offline=True, halts=halts) == "halted"
    # Ids run on through a halt: what is missing soon after it was issued.
    assert cause_of_trades(NOW_MS + MINUTE + 1, NOW_MS + MINUTE + 9, offline=False, halts=halts) == "missed"
    assert cause_of_trades(None, NOW_MS + 5, offline=True, halts=halts) == "offline"
