"""The virtual loop keeps asyncio's promises, and runs nothing of the dead."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.simulation.loop import KILLED, OWNER, Owner, Stuck, VirtualLoop


def test_time_jumps_to_the_next_timer() -> None:
    loop = VirtualLoop()
    begun_s, real_s = loop.time(), time.monotonic()
    loop.run_until_complete(asyncio.sleep(86_400))
    assert loop.time() - begun_s == pytest.approx(86_400, abs=0.001)
    assert time.monotonic() - real_s < 5


def test_ready_handles_run_in_the_order_in_which_they_were_added() -> None:
    loop, ran = VirtualLoop(), list[int]()
    for number in range(100):
        loop.call_soon(ran.append, number)
    loop.run_until_complete(asyncio.sleep(0))
    assert ran == list(range(100))


def test_timers_due_at_one_time_run_in_the_order_in_which_they_were_set() -> None:
    loop, ran = VirtualLoop(), list[int]()
    for number in range(100):
        loop.call_at(loop.time() + 1, ran.append, number)
    loop.run_until_complete(asyncio.sleep(2))
    assert ran == list(range(100))


def test_a_cancelled_timer_does_not_run() -> None:
    loop, ran = VirtualLoop(), list[int]()
    loop.call_later(1, ran.append, 1)
    loop.call_later(1, ran.append, 2).cancel()
    loop.run_until_complete(asyncio.sleep(2))
    assert ran == [1]


def test_time_passes_for_a_task_that_only_yields() -> None:
    loop = VirtualLoop()

    async def spin() -> None:
        until_s = loop.time() + 0.001
        while loop.time() < until_s:  # noqa: ASYNC110 - that is the question
            await asyncio.sleep(0)

    loop.run_until_complete(spin())


def test_waiting_for_nothing_is_an_error_and_no_hang() -> None:
    loop = VirtualLoop()
    with pytest.raises(Stuck):
        loop.run_until_complete(loop.create_future())


def test_time_outs_and_cancellation_work_as_in_asyncio() -> None:
    loop = VirtualLoop()

    async def wait_for_nothing() -> None:
        async with asyncio.timeout(3):
            await loop.create_future()

    with pytest.raises(TimeoutError):
        loop.run_until_complete(wait_for_nothing())


def test_sets_of_tasks_have_an_order_that_no_address_decides() -> None:
    loop = VirtualLoop()

    async def numbers() -> list[int]:
        tasks = [asyncio.create_task(asyncio.sleep(0, number)) for number in range(50)]
        done, _ = await asyncio.wait(tasks)
        return [task.result() for task in done]

    assert loop.run_until_complete(numbers()) == VirtualLoop().run_until_complete(numbers())


def _owner(number: int) -> Owner:
    owner = Owner(f"process {number}", number)
    owner.context.run(OWNER.set, owner)
    return owner


def test_nothing_of_a_dead_owner_runs_not_even_finally() -> None:
    loop, owner, ran = VirtualLoop(), _owner(1), list[str]()

    async def work() -> None:
        try:
            while True:
                ran.append("work")
                await asyncio.sleep(1)
        finally:
            ran.append("finally")

    owner.context.run(loop.create_task, work())
    loop.call_later(2.5, owner.end, KILLED)
    loop.run_until_complete(asyncio.sleep(10))
    assert ran == ["work"] * 3
    assert owner.buried


@pytest.mark.parametrize("last_step", [1, 2, 7])
def test_an_owner_dies_at_its_last_step(last_step: int) -> None:
    loop, owner, ran = VirtualLoop(), _owner(1), list[int]()
    owner.last_step = last_step
    for number in range(10):
        loop.call_soon(ran.append, number, context=owner.context)
    loop.run_until_complete(asyncio.sleep(0))
    assert ran == list(range(last_step))
    assert not owner.alive


def test_a_suspended_owner_catches_up_in_order() -> None:
    loop, owner, ran = VirtualLoop(), _owner(1), list[int]()
    for number in range(5):
        loop.call_later(number, ran.append, number, context=owner.context)
    loop.suspend(owner)
    loop.run_until_complete(asyncio.sleep(2.5))
    assert ran == []
    loop.resume(owner)
    loop.run_until_complete(asyncio.sleep(0))
    assert ran == [0, 1, 2]


def test_equal_runs_have_equal_fingerprints() -> None:
    async def work(delay_s: float) -> None:
        for _ in range(10):
            await asyncio.sleep(delay_s)

    prints = []
    for delay_s in (0.1, 0.1, 0.2):
        loop = VirtualLoop()
        loop.run_until_complete(work(delay_s))
        prints.append(loop.fingerprint)
    assert prints[0] == prints[1] != prints[2]
