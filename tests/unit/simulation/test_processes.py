"""Processes end as real ones do."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import pytest

from shared.errors import UsageError
from tests.simulation import tasks
from tests.simulation.loop import KILLED
from tests.simulation.world import World


@pytest.fixture
def world() -> Iterator[World]:
    world = World(1)
    yield world
    world.close()


async def _for_ever() -> int:
    while True:  # noqa: ASYNC110 - it takes steps
        await asyncio.sleep(1)


def test_what_the_work_returns_is_the_exit_code(world: World) -> None:
    async def work() -> int:
        await asyncio.sleep(1)
        return 3

    process = world.process("worker")
    process.run(work)
    world.run(process.exited.wait())
    assert process.exit_code == 3


def test_an_error_for_the_user_gives_its_exit_code(world: World) -> None:
    async def work() -> int:
        raise UsageError("no")

    process = world.process("worker")
    process.run(work)
    world.run(process.exited.wait())
    assert process.exit_code == UsageError("").exit_code
    assert isinstance(process.failure, UsageError)


def test_blocking_work_is_a_process_too(world: World) -> None:
    def work() -> int:
        tasks.sleep(5)
        return 4

    process = world.process("worker")
    process.block(work)
    world.run(process.exited.wait())
    assert process.exit_code == 4


def test_a_process_that_ends_cancels_its_tasks(world: World) -> None:
    said: list[str] = []

    async def other() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            said.append("finally")

    async def work() -> int:
        task = asyncio.create_task(other())
        await asyncio.sleep(1)
        assert not task.done()
        return 0

    process = world.process("worker")
    process.run(work)
    world.run(process.exited.wait())
    assert said == ["finally"]
    assert world.now_s() == pytest.approx(10_001, abs=0.001)


def test_a_killed_process_runs_no_finally(world: World) -> None:
    said: list[str] = []

    def block() -> None:
        try:
            tasks.sleep(100)
        finally:
            said.append("finally of blocking code")

    async def work() -> int:
        try:
            await asyncio.to_thread(block)
        finally:
            said.append("finally")
        return 0

    process = world.process("worker")
    process.run(work)
    process.at_death.append(lambda: said.append("dead"))
    world.loop.call_later(3, process.kill)
    world.run(process.exited.wait())
    world.run(asyncio.sleep(200))
    assert process.exit_code == KILLED
    assert said == ["dead"]


def test_a_signal_runs_the_handler_of_its_process_alone(world: World) -> None:
    async def work() -> int:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()
        return 0

    first, second = world.process("first"), world.process("second")
    for process in (first, second):
        process.run(work)
    world.loop.call_later(1, first.signal, signal.SIGTERM)
    world.run(first.exited.wait())
    assert (first.exit_code, second.exit_code) == (0, None)


def test_a_signal_without_a_handler_ends_the_process(world: World) -> None:
    process = world.process("worker")
    process.run(_for_ever)
    world.loop.call_later(1, process.signal, signal.SIGTERM)
    world.run(process.exited.wait())
    assert process.exit_code == -signal.SIGTERM


def test_a_process_dies_at_its_last_step(world: World) -> None:
    process = world.process("worker")
    process.run(_for_ever)
    process.last_step = 9
    world.run(process.exited.wait())
    assert process.steps == 9
    assert process.exit_code == KILLED


def test_a_clock_step_concerns_one_process(world: World) -> None:
    process = world.process("worker")
    clocks: list[int] = []
    process.step_clock(-3.5)
    process.run(lambda: _read_clock(world, clocks))
    world.run(process.exited.wait())
    assert clocks[0] == pytest.approx(world.now_ms() * 1_000_000 - 3_500_000_000, abs=1_000_000)


async def _read_clock(world: World, clocks: list[int]) -> int:
    clocks.append(world.wall_ns())
    return 0
