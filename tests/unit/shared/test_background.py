"""One job after another, and what a job raises."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from shared.background import Background


def test_jobs_run_in_the_order_given_and_their_errors_come_with_the_future() -> None:
    background = Background("test")
    done: list[int] = []

    def fail() -> None:
        raise ValueError("as it should")

    futures = [background.submit(partial(done.append, number)) for number in range(3)]
    failed, last = background.submit(fail), background.submit(lambda: done.append(3))
    last.result(5)
    assert done == [0, 1, 2, 3]
    assert [future.result(5) for future in futures] == [None] * 3
    with pytest.raises(ValueError, match="as it should"):
        failed.result(5)


def test_what_is_cancelled_before_its_turn_is_not_run() -> None:
    background, begun, go_on, done = Background("test"), threading.Event(), threading.Event(), []

    def first() -> None:
        begun.set()
        go_on.wait(5)

    running = background.submit(first)
    assert begun.wait(5)
    waiting = background.submit(lambda: done.append(1))
    assert waiting.cancel()
    assert not running.cancel()
    go_on.set()
    assert background.submit(lambda: len(done)).result(5) == 0


def test_what_was_given_before_the_end_is_done() -> None:
    background, done = Background("closing"), threading.Event()
    background.submit(done.set)
    background.close()
    assert done.wait(5)
    for thread in threading.enumerate():
        if thread.name == "closing":
            thread.join(5)
            assert not thread.is_alive()
