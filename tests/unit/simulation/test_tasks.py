"""Blocking code waits in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.simulation import tasks
from tests.simulation.tasks import Background, Event, Future, Lock, LoopBlocked
from tests.simulation.world import World


@pytest.fixture
def world() -> Iterator[World]:
    world = World(1)
    yield world
    world.close()


def test_blocking_code_sleeps_while_the_loop_goes_on(world: World) -> None:
    said: list[tuple[float, str]] = []

    def say(word: str) -> None:
        said.append((round(world.now_s()), word))

    def block() -> str:
        tasks.sleep(2)
        say("awake")
        return "slept"

    async def work() -> str:
        world.loop.call_later(1, say, "meanwhile")
        return await asyncio.to_thread(block)

    assert world.run(work()) == "slept"
    assert said == [(10_001, "meanwhile"), (10_002, "awake")]


def test_an_error_of_blocking_code_reaches_who_awaits_it(world: World) -> None:
    def block() -> None:
        tasks.sleep(1)
        raise LookupError("not here")

    with pytest.raises(LookupError, match="not here"):
        world.run(asyncio.to_thread(block))


def test_blocking_the_loop_is_an_error(world: World) -> None:
    async def block() -> None:
        tasks.sleep(1)

    with pytest.raises(LoopBlocked):
        world.run(block())


def test_a_wait_ends_with_the_call_of_a_server_that_makes_it_ready(world: World) -> None:
    arrived: list[float] = []
    world.later(0.25, lambda: arrived.append(world.now_s()))

    def block() -> float:
        world.wait(lambda: bool(arrived), 10)
        return world.now_s()

    assert world.run(asyncio.to_thread(block)) == pytest.approx(10_000.25, abs=0.001)


def test_a_wait_that_is_never_ready_times_out(world: World) -> None:
    def block() -> float:
        world.wait(lambda: False, 3)
        return world.now_s()

    assert world.run(asyncio.to_thread(block)) == pytest.approx(10_003, abs=0.001)


def test_a_wait_without_time_returns_at_once_even_on_the_loop(world: World) -> None:
    async def work() -> None:
        world.wait(lambda: False, 0)

    world.run(work())


def test_polling_without_a_wait_sees_time_pass(world: World) -> None:
    def block() -> None:
        until_s = world.now_s() + 0.001
        while world.now_s() < until_s:
            world.wait(lambda: False, 0)

    world.run(asyncio.to_thread(block))


def test_an_event_wakes_all_that_wait_in_their_order(world: World) -> None:
    event, woken = Event(), list[int]()

    def block(number: int) -> None:
        assert event.wait(10)
        woken.append(number)

    async def work() -> None:
        waits = [asyncio.to_thread(block, number) for number in range(5)]
        world.loop.call_later(1, event.set)
        await asyncio.gather(*waits)

    world.run(work())
    assert woken == [0, 1, 2, 3, 4]
    assert world.now_s() == pytest.approx(10_001, abs=0.001)


def test_an_event_that_is_not_set_in_time_says_so(world: World) -> None:
    assert world.run(asyncio.to_thread(lambda: Event().wait(2))) is False


def test_a_lock_is_held_by_one_at_a_time(world: World) -> None:
    lock, said = Lock(), list[str]()

    def block(name: str) -> None:
        with lock:
            said.append(f"{name} in")
            tasks.sleep(1)
            said.append(f"{name} out")

    async def work() -> None:
        await asyncio.gather(asyncio.to_thread(block, "a"), asyncio.to_thread(block, "b"))

    world.run(work())
    assert said == ["a in", "a out", "b in", "b out"]


def test_a_lock_that_the_loop_releases_is_taken_at_once(world: World) -> None:
    lock = Lock()

    async def work() -> None:
        assert lock.acquire()
        world.loop.call_later(1, lock.release)
        await asyncio.to_thread(lock.acquire)

    world.run(work())
    assert world.now_s() == pytest.approx(10_001, abs=0.001)


def test_a_worker_takes_its_jobs_one_after_another(world: World) -> None:
    said: list[str] = []

    def job(name: str) -> str:
        said.append(f"{name} begins")
        tasks.sleep(1)
        said.append(f"{name} ends")
        return name

    def block() -> list[str]:
        worker = Background("jobs")
        futures = [worker.submit(lambda name=name: job(name)) for name in "ab"]  # type: ignore[misc]
        return [future.result() for future in futures]

    assert world.run(asyncio.to_thread(block)) == ["a", "b"]
    assert said == ["a begins", "a ends", "b begins", "b ends"]


def test_a_job_s_error_is_seen_by_who_waits_for_it(world: World) -> None:
    def fail() -> None:
        tasks.sleep(1)
        raise LookupError

    def block() -> BaseException | None:
        return Background("jobs").submit(fail).exception()

    assert isinstance(world.run(asyncio.to_thread(block)), LookupError)


def test_a_job_can_be_awaited(world: World) -> None:
    async def work() -> int:
        return await asyncio.wrap_future(Background("jobs").submit(lambda: 7))

    assert world.run(work()) == 7


def test_a_future_that_is_not_done_in_time_times_out(world: World) -> None:
    with pytest.raises(TimeoutError):
        world.run(asyncio.to_thread(lambda: Future[int]().result(1)))
