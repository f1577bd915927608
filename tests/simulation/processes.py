"""Simulated processes: they start, get signals, exit, and are killed between any two of their steps."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

from shared.errors import CryptoStreamError
from tests.simulation.loop import KILLED, NOBODY, OWNER, Owner, VirtualLoop
from tests.simulation.network import Network
from tests.simulation.tasks import Greenlets

_FAILED: Final = 1


class Process(Owner):
    """A process of the simulated machine; it lives from `run` or `block` on, and only once.

    Attributes:
        exit_code: as a parent sees it, -9 if it was killed; None while it lives.
        failure: the error with which its work ended; the caller decides whether it was to be expected.
        exited: set at its end.
        at_death: called at its end, in no process: what others hold for it dies too, such as Kafka clients.
    """

    def __init__(
        self, name: str, number: int, loop: VirtualLoop, network: Network, greenlets: Greenlets
    ) -> None:
        super().__init__(name, number)
        self._loop = loop
        self._network = network
        self._greenlets = greenlets
        self.exit_code: int | None = None
        self.failure: BaseException | None = None
        self.exited = asyncio.Event()
        self.at_death: list[Callable[[], None]] = []
        self.context.run(OWNER.set, self)

    def run(self, work: Callable[[], Coroutine[Any, Any, int | None]]) -> None:
        """Begin, as `asyncio.run` does, with the coroutine that `work` makes; it returns the exit code."""
        self._loop.call_soon(self._begin, work, context=self.context)

    def _begin(self, work: Callable[[], Coroutine[Any, Any, int | None]]) -> None:
        self._loop.create_task(self._carry(work))

    async def _carry(self, work: Callable[[], Coroutine[Any, Any, int | None]]) -> None:
        code: int | None = _FAILED
        try:
            code = await self._loop.create_task(work())
        except (Exception, asyncio.CancelledError, SystemExit) as error:  # noqa: BLE001 - a parent sees the exit code
            self.failure = error
            code = _code_of(error)
        await self._cancel_others()
        self.end(code or 0)

    async def _cancel_others(self) -> None:
        own = asyncio.current_task()
        others = sorted((task for task in self._tasks() if task is not own), key=hash)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _tasks(self) -> list[asyncio.Task[Any]]:
        return [task for task in asyncio.all_tasks(self._loop) if getattr(task, "owner", None) is self]

    def block(self, work: Callable[[], int | None]) -> None:
        """Begin with blocking code; what it returns is the exit code. Its threads are daemons."""

        def carry() -> None:
            try:
                code = work()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a parent sees the exit code
                self.failure = error
                code = _code_of(error)
            self._loop.call_soon(self.end, code or 0)

        self._loop.call_soon(self._greenlets.start, carry, context=self.context)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; without a handler it ends the process."""
        if number is signal.SIGKILL:
            self.kill()
        elif self.alive and not self._loop.send_signal(self, number):
            self.end(-number)

    def kill(self) -> None:
        """End it at once, as SIGKILL does."""
        self.end(KILLED)

    def suspend(self) -> None:
        """Stop it until `resume`, as SIGSTOP does; its timers become due meanwhile."""
        self._loop.suspend(self)

    def resume(self) -> None:
        """Let it go on."""
        self._loop.resume(self)

    def step_clock(self, seconds: float) -> None:
        """Set its wall clock."""
        self.clock_offset_ns += round(seconds * 1e9)

    def end(self, code: int) -> None:
        """End it between two steps, whatever it does, with an exit code."""
        if not self.alive:
            return
        self.alive = False
        self.exit_code = code
        self.buried += self._tasks()
        self.buried.append(self.backlog)
        self._loop.touched.append(NOBODY)
        NOBODY.context.copy().run(self._leave)

    def _leave(self) -> None:
        self._network.release(self)
        for call in self.at_death:
            call()
        self.exited.set()


def _code_of(error: BaseException) -> int:
    if isinstance(error, CryptoStreamError):
        return error.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else _FAILED
    return _FAILED
