"""When a child that ended is started again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cryptostream.embedded.supervision import GiveUp, Restart, RestartPolicy, describe_exit


def test_the_delay_doubles_and_the_sixth_end_within_a_minute_gives_up():
    policy = RestartPolicy()
    delays = [policy.exited(1, second) for second in range(5)]
    assert delays == [Restart(0.5), Restart(1), Restart(2), Restart(4), Restart(8)]
    assert policy.exited(1, 5) == GiveUp(1, "ended 6 times within a minute")
    assert policy.restarts == 5


def test_wrong_settings_are_not_tried_again():
    policy = RestartPolicy()
    assert isinstance(policy.exited(2, 0.0), GiveUp)
    assert policy.exited(2, 0.0).exit_code == 2
    assert policy.restarts == 0


def test_a_minute_of_peace_forgets_the_past():
    policy = RestartPolicy()
    for second in range(5):
        policy.exited(-9, second)
    assert policy.exited(-9, 64.0) == Restart(0.5)


@given(st.lists(st.floats(min_value=0, max_value=30), max_size=40), st.sampled_from((0, 1, -9, -15, 137)))
def test_no_more_than_five_restarts_fall_into_any_minute(pauses, exit_code):
    policy, now, restarts = RestartPolicy(), 0.0, []
    for pause in pauses:
        now += pause
        if isinstance(policy.exited(exit_code, now), GiveUp):
            break
        restarts.append(now)
    assert all(sum(1 for at in restarts if end - 60 < at <= end) <= 5 for end in restarts)


def test_exits_are_told_in_words():
    assert describe_exit(-9) == "killed by signal 9"
    assert describe_exit(1) == "ended with exit code 1"
