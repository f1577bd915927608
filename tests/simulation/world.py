"""A world: one loop, its network, its blocking code, its processes, from one seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from tests.simulation import sandbox, tasks
from tests.simulation.loop import NOBODY, Handle, VirtualLoop
from tests.simulation.network import Network, Weather
from tests.simulation.processes import Process

Outcome = TypeVar("Outcome")

# Thursday 2026-05-28 20:26:40 UTC.
WALL_MS: Final = 1_780_000_000_000


class World:
    """Everything around the code under test; it is also the `Surroundings` of doubles of servers.

    Only one at a time is active: the one made last.

    Args:
        seed: decides all chance.
        wall_ms: the wall clock at the beginning.

    Attributes:
        processes: all that were made, the dead ones too.
    """

    def __init__(self, seed: int, *, wall_ms: int = WALL_MS, weather: Weather | None = None) -> None:
        self.loop = VirtualLoop(seed)
        self.random = random.Random(f"surroundings {seed}")
        self.greenlets = tasks.Greenlets(self.loop)
        self.network = Network(self.loop, weather)
        self.processes: list[Process] = []
        self._begun_s = self.loop.now_s
        self._wall_ns = wall_ms * 1_000_000
        tasks.activate(self.greenlets, self.loop)
        sandbox.use(self, seed)

    def process(self, name: str) -> Process:
        """A new process, which has not begun."""
        process = Process(name, len(self.processes) + 1, self.loop, self.network, self.greenlets)
        self.processes.append(process)
        return process

    def run(self, work: Coroutine[Any, Any, Outcome]) -> Outcome:
        """Run until a coroutine ends that belongs to no process, such as a supervisor of all."""
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        """Nothing of this world runs any more; what it holds is to be dropped only now."""
        for process in self.processes:
            process.alive = False
        for task in asyncio.all_tasks(self.loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        tasks.activate(None, None)
        self.greenlets.close()
        sandbox.use(None)

    def end_later(self, delay_s: float) -> Handle:
        """End the process that asks, with exit code 1, unless the handle is cancelled before."""
        return self.loop.call_later(delay_s, self.loop.current.end, 1, context=NOBODY.context)

    # -- Surroundings ----------------------------------------------------------------------------------

    def now_s(self) -> float:
        """See `Surroundings.now_s`."""
        return self.loop.now_s

    def now_ms(self) -> int:
        """See `Surroundings.now_ms`."""
        return self._server_ns() // 1_000_000

    def later(self, delay_s: float, call: Callable[[], None], *, quiet: bool = False) -> None:
        """See `Surroundings.later`."""
        if quiet:
            self.loop.call_later(delay_s, call, context=NOBODY.context)
        else:
            self.loop.call_later(delay_s, self._call, call, context=NOBODY.context)

    def wait(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """See `Surroundings.wait`."""
        self.greenlets.wait(ready, timeout_s)

    def _call(self, call: Callable[[], None]) -> None:
        self.loop.touched.append(NOBODY)
        call()

    # -- clocks of processes ---------------------------------------------------------------------------

    def _server_ns(self) -> int:
        return self._wall_ns + int((self.loop.now_s - self._begun_s) * 1e9)

    def wall_ns(self) -> int:
        """The wall clock of the process that asks."""
        return self._server_ns() + self.loop.current.clock_offset_ns
