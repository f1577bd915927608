from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.stores.storable import JUMP_NS, PROOF_MINUTES, TICKS_EXPIRY_NS, ExpiryClock, oldest_kept_ms

MINUTE_NS = 60 * 10**9
DAY_NS = 86_400 * 10**9
NOW_NS = 20_000 * DAY_NS
TIMES = st.integers(0, 2**63 - 2)


def known(newest_ns: int = NOW_NS) -> ExpiryClock:
    return ExpiryClock(newest_ns)


def test_time_goes_on_with_the_newest_point_and_never_back() -> None:
    time = known()
    time.receive([NOW_NS + 5, NOW_NS + 7, NOW_NS - DAY_NS])
    time.receive([])
    time.receive([NOW_NS + 1])
    assert time.newest_ns == NOW_NS + 7
    assert time.oldest_kept_ns(TICKS_EXPIRY_NS) == NOW_NS + 7 - TICKS_EXPIRY_NS
    assert time.oldest_kept_ns(None) is None


def test_what_was_missed_for_weeks_is_caught_up_in_small_steps() -> None:
    time = known()
    for batch in range(30):
        begin_ns = NOW_NS + batch * DAY_NS
        time.receive([begin_ns + minute * MINUTE_NS for minute in reversed(range(1440))])
    assert time.newest_ns == NOW_NS + 30 * DAY_NS - MINUTE_NS


@pytest.mark.parametrize("first_ns", [0, NOW_NS, 2**63 - 2])
def test_the_first_time_of_all_proves_nothing(first_ns: int) -> None:
    time = ExpiryClock()
    for _ in range(10 * PROOF_MINUTES):
        time.receive([first_ns])
    assert time.newest_ns is None
    assert time.oldest_kept_ns(TICKS_EXPIRY_NS) is None


def test_an_hour_of_minutes_makes_the_time_known() -> None:
    time = ExpiryClock()
    for minute in range(PROOF_MINUTES - 1):
        time.receive([NOW_NS + minute * MINUTE_NS])
    assert time.newest_ns is None
    time.receive([NOW_NS + (PROOF_MINUTES - 1) * MINUTE_NS])
    assert time.newest_ns == NOW_NS + (PROOF_MINUTES - 1) * MINUTE_NS


def test_after_a_long_absence_an_hour_makes_the_new_time_known_whatever_else_was_far_ahead() -> None:
    time = known()
    later_ns = NOW_NS + 10 * DAY_NS
    time.receive([NOW_NS + 2 * DAY_NS, NOW_NS + 300 * DAY_NS])
    for minute in range(PROOF_MINUTES):
        time.receive([later_ns + minute * MINUTE_NS])
    assert time.newest_ns == later_ns + (PROOF_MINUTES - 1) * MINUTE_NS


def test_times_far_ahead_prove_nothing_while_others_go_on_from_before() -> None:
    time = known()
    for second in range(10_000):
        ahead_ns = NOW_NS + 8 * DAY_NS + second * MINUTE_NS
        time.receive([NOW_NS + second * 10**9, ahead_ns])
    assert time.newest_ns == NOW_NS + 9_999 * 10**9


@given(st.lists(st.lists(TIMES, max_size=5), max_size=50))
def test_single_wild_times_never_move_it_far(batches: list[list[int]]) -> None:
    """Fewer than would prove a jump, each with what goes on from before."""
    time = known()
    for step, wild in enumerate(batches, 1):
        before_ns = time.newest_ns
        assert before_ns is not None
        time.receive([*wild, NOW_NS + step])
        assert time.newest_ns is not None
        assert before_ns <= time.newest_ns
        # Each wild time within an hour ahead is as good as any, and costs no more than that.
        assert time.newest_ns - before_ns <= JUMP_NS * (len(wild) + 1)


def test_memory_is_bounded_by_no_times_whatever() -> None:
    time = known()
    for number in range(1, 5_000):
        time.receive([NOW_NS + number * number * DAY_NS // 100 + DAY_NS])
    assert len(time._ahead) <= 10 * PROOF_MINUTES


def test_a_jump_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    time = known()
    for number in range(30):
        time.receive([NOW_NS + 8 * DAY_NS + number * MINUTE_NS])
    (record,) = caplog.records
    assert "192.0 h ahead of the newest" in record.getMessage()


def test_the_oldest_kept_time_of_a_ledger() -> None:
    assert oldest_kept_ms(700_000_000, 86_400 * 10**9) == 700_000_000 - 86_400_000
    assert oldest_kept_ms(None) is None
    assert oldest_kept_ms(1, None) is None
