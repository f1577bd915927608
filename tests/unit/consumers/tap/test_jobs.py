from __future__ import annotations

import threading
import time
from typing import Any

from consumers.tap.jobs import Jobs
from tests.unit.consumers.tap.partitions import FakePartitions


def test_a_job_that_nobody_wants_any_more_opens_no_reader() -> None:
    readers: list[Any] = []

    def open_reader(_: Any) -> FakePartitions:
        readers.append(FakePartitions())
        return FakePartitions()

    jobs = Jobs(open_reader, readers.append, threading.Event(), threads=1)
    ended = threading.Event()
    assert jobs.run({}, lambda _: None, lambda: False)
    assert jobs.run({}, lambda _: ended.set())
    assert ended.wait(10)
    jobs.close()
    assert len(readers) == 1


def test_an_unexpected_error_of_a_job_is_a_failure_of_the_process() -> None:
    failures: list[BaseException] = []
    jobs = Jobs(lambda _: FakePartitions(), failures.append, threading.Event())

    def broken(_reader: Any) -> None:
        raise ZeroDivisionError

    jobs.run({}, broken)
    jobs.close()
    assert [type(failure) for failure in failures] == [ZeroDivisionError]


def test_no_more_jobs_wait_than_there_is_room_for() -> None:
    stopped, held = threading.Event(), threading.Event()
    jobs = Jobs(lambda _: FakePartitions(), lambda _: None, stopped, 1, most=3)
    begun = threading.Event()

    def hold(_reader: Any) -> None:
        begun.set()
        held.wait(10)

    assert jobs.run({}, hold)
    assert begun.wait(10)
    assert [jobs.run({}, hold) for _ in range(4)] == [True, True, True, False]
    held.set()
    stopped.set()
    jobs.close()


def test_a_pool_that_rests_leaves_half_of_the_time_to_others() -> None:
    stopped = threading.Event()
    jobs = Jobs(lambda _: FakePartitions(), lambda _: None, stopped, 1, rests=True)
    times: list[float] = []

    def work(_reader: Any) -> None:
        times.append(time.monotonic())
        threading.Event().wait(0.1)
        times.append(time.monotonic())

    for _ in range(2):
        jobs.run({}, work)
    done = threading.Event()
    jobs.run({}, lambda _: done.set())
    assert done.wait(10)
    stopped.set()
    jobs.close()
    (begin, end), (again, _) = times[:2], times[2:]
    assert again - end >= end - begin
