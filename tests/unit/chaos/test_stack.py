"""When the harness starts a process again."""

from __future__ import annotations

from chaos.stack import RestartAlways
from cryptostream.processes.supervisor import GiveUp, Restart


def test_a_process_is_restarted_without_back_off_until_it_ends_again_and_again() -> None:
    policy = RestartAlways()
    assert {policy.exited(0.0) for _ in range(30)} == {Restart(0.5)}
    assert policy.exited(0.0) == GiveUp(way_out="more than 30 unexpected exits")


def test_exits_before_something_new_was_done_to_the_stack_do_not_count() -> None:
    policy = RestartAlways()
    for _ in range(30):
        policy.exited(0.0)
    policy.forget()
    assert policy.exited(0.0) == Restart(0.5)
