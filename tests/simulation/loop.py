"""An asyncio event loop in virtual time: handles run in the order of asyncio, and nothing ever blocks.

Each handle belongs to an owner, a simulated process, which its context names. A handle whose owner is dead is
kept and never run: `kill -9` runs no `finally`.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random
import signal
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple, Unpack

if TYPE_CHECKING:
    from tests.simulation.network import Network

Value = TypeVar("Value")
Arguments = TypeVarTuple("Arguments")

# The monotonic clock of a machine that has been on for a while: code may take 0 for "never".
_BEGIN_S: Final = 10_000.0
# What a pass over the ready handles takes, so that a loop that only yields sees time pass.
PASS_S: Final = 1e-6


# Exit code of a process that was killed.
KILLED: Final = -signal.SIGKILL


class Stuck(AssertionError):
    """Nothing can happen any more: no handle is ready and no timer is set."""


class Owner:
    """To whom handles belong; the world itself is one, of which nobody is killed.

    Attributes:
        steps: handles and pieces of blocking code that have run.
        last_step: after so many steps it dies; None: of nothing like that.
        dies_s: so long after its last step, or before it would take another one.
        buried: what must not be destroyed while the world goes on, since that would run its `finally`.
        backlog: what has become ready while it is suspended; None while it runs.
        clock_offset_ns: of its wall clock from the world's.
        context: of what belongs to it.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.alive = True
        self.steps = 0
        self.last_step: int | None = None
        self.dies_s = 0.0
        self.buried: list[object] = []
        self.backlog: deque[Handle] | None = None
        self.clock_offset_ns = 0
        self.signal_handlers: dict[int, Handle] = {}
        self.context = contextvars.Context()

    def end(self, code: int) -> None:
        """Nothing of it runs any more, no `finally`, no callback."""
        self.alive = False


NOBODY: Final = Owner("world", 0)
OWNER: Final[contextvars.ContextVar[Owner]] = contextvars.ContextVar("owner", default=NOBODY)
NOBODY.context.run(OWNER.set, NOBODY)


class Handle(asyncio.TimerHandle):
    """A call that is ready or has its time; cheaper to make than asyncio's."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: VirtualLoop,
        context: contextvars.Context | None,
    ) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._when = when

    def cancel(self) -> None:
        self._cancelled = True
        self._callback = self._args = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Handle {self._callback!r}{' cancelled' if self._cancelled else ''}>"


class Task(asyncio.Task[Value]):
    """A task whose place in a set does not depend on its address.

    Attributes:
        owner: to whom it belongs.
    """

    owner: Owner
    _number: int

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs everything in one thread; `time()` jumps from one timer to the next.

    Args:
        seed: of `random`, from which the world around the loop draws.

    Attributes:
        now_s: what `time()` says.
        current: whose handle is running.
        handles_run: how many there were.
        fingerprint: of which handle ran when, of whom: equal for equal runs.
        touched: owners whose blocking code may have become ready; `NOBODY`: everybody's.
        after_pass: called after each pass over the ready handles, if `touched` is not empty.
        run_blocking: how `run_in_executor` runs a call; set by the greenlets.
    """

    def __init__(self, seed: int = 1) -> None:
        self.now_s = _BEGIN_S
        self._stopping = False  # as BaseEventLoop has it
        self._fifo: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._number = 0
        super().__init__()
        self.random = random.Random(seed)
        self.current: Owner = NOBODY
        self.handles_run = 0
        self.fingerprint = 0
        self.touched: list[Owner] = []
        self.after_pass: Callable[[], None] = lambda: None
        self.run_blocking: Callable[[Callable[[], Any]], asyncio.Future[Any]] | None = None
        self.network: Network | None = None
        self.set_debug(False)

    # -- time and handles ------------------------------------------------------------------------------

    def time(self) -> float:
        return self.now_s

    def call_soon(
        self,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: contextvars.Context | None = None,
    ) -> Handle:
        handle = Handle(0.0, callback, args, self, context)
        self._fifo.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: contextvars.Context | None = None,
    ) -> Handle:
        handle = Handle(when, callback, args, self, context)
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, handle))
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: contextvars.Context | None = None,
    ) -> Handle:
        when = self.now_s + delay
        handle = Handle(when, callback, args, self, context)
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled ones are dropped when they are due."""

    def _run_once(self) -> None:
        """Passes over the ready handles until the loop is stopped."""
        fifo, timers, pop = self._fifo, self._timers, heapq.heappop
        while not self._stopping:
            if not fifo:
                while timers and timers[0][2]._cancelled:
                    pop(timers)
                if not timers:
                    raise Stuck(f"after {self.handles_run} handles nothing is ready and no timer is set")
                self.now_s = max(self.now_s, timers[0][0])
            now_s = self.now_s
            while timers and timers[0][0] <= now_s:
                due = pop(timers)[2]
                if not due._cancelled:
                    fifo.append(due)
            for _ in range(len(fifo)):
                handle = fifo.popleft()
                if handle._cancelled:
                    continue
                owner = handle._context.get(OWNER, NOBODY)
                if owner is not NOBODY and not self._may_run(owner, handle):
                    continue
                self.current = owner
                self.handles_run += 1
                # Of numbers alone, whose hash is the same in every process.
                self.fingerprint = hash((self.fingerprint, owner.number, now_s))
                try:
                    handle._context.run(handle._callback, *handle._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 - as asyncio's handles do
                    self._report(handle, error)
            self.current = NOBODY
            self.now_s += PASS_S
            if self.touched:
                self.after_pass()

    def _may_run(self, owner: Owner, handle: Handle) -> bool:
        """Count a step of an owner; False if it is dead or suspended, for which the handle is kept."""
        if owner.steps == owner.last_step:
            owner.end(KILLED)
        if not owner.alive:
            owner.buried.append(handle)
            return False
        if owner.backlog is not None:
            owner.backlog.append(handle)
            return False
        owner.steps += 1
        if owner.steps == owner.last_step:
            # What it sent with this step may not have left yet.
            self.call_later(owner.dies_s, owner.end, KILLED, context=NOBODY.context)
        return True

    def _report(self, handle: Handle, error: BaseException) -> None:
        message = f"Exception in callback {handle._callback!r}"
        self.call_exception_handler({"message": message, "exception": error, "handle": handle})

    def suspend(self, owner: Owner) -> None:
        """Keep what becomes ready of an owner until it goes on."""
        if owner.backlog is None:
            owner.backlog = deque()

    def resume(self, owner: Owner) -> None:
        """Let a suspended owner go on with what has become ready meanwhile."""
        if owner.backlog is not None:
            backlog, owner.backlog = owner.backlog, None
            self._fifo.extend(backlog)

    # -- tasks and blocking calls ----------------------------------------------------------------------

    def create_task(
        self,
        coro: Generator[Any, None, Value] | Coroutine[Any, Any, Value],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
    ) -> Task[Value]:
        self._number += 1
        task = Task.__new__(Task)
        task._number = self._number
        task.owner = OWNER.get() if context is None else context.get(OWNER, NOBODY)
        task.__init__(coro, loop=self, name=name, context=context)  # type: ignore[misc]
        return task

    def run_in_executor(
        self, executor: object, func: Callable[[Unpack[Arguments]], Value], *args: *Arguments
    ) -> asyncio.Future[Value]:
        """Run a blocking call in virtual time, whatever the executor."""
        if self.run_blocking is None:
            raise RuntimeError("this loop has nobody to run blocking calls")
        return self.run_blocking(lambda: func(*args))

    def add_signal_handler(
        self, sig: int, callback: Callable[[Unpack[Arguments]], object], *args: *Arguments
    ) -> None:
        """Of the process that asks."""
        OWNER.get().signal_handlers[sig] = Handle(0.0, callback, args, self, None)

    def remove_signal_handler(self, sig: int) -> bool:
        return OWNER.get().signal_handlers.pop(sig, None) is not None

    def send_signal(self, owner: Owner, number: signal.Signals) -> bool:
        """Whether the owner has a handler for the signal, which runs soon."""
        handler = owner.signal_handlers.get(number)
        if handler is not None:
            self.call_soon(handler._callback, *handler._args, context=handler._context)
        return handler is not None

    # -- the network -----------------------------------------------------------------------------------

    @property
    def _net(self) -> Network:
        if self.network is None:
            raise RuntimeError("this loop has no network")
        return self.network

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        sock: socket.socket | None = None,
        **options: Any,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        _refuse_tls(options)
        if sock is not None:
            return self._net.open(protocol_factory, self._net.take(sock))
        address = (await self._net.resolve(host, port))[0][4]
        return self._net.open(protocol_factory, await self._net.connect(address))

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        **options: Any,
    ) -> asyncio.AbstractServer:
        _refuse_tls(options)
        return self._net.listen(protocol_factory, host, port or 0)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect in the simulated network; the real socket stays as it is."""
        self._net.give(sock, await self._net.connect(address))

    async def getaddrinfo(  # type: ignore[override]
        self, host: str | None, port: int | str | None, **_hints: int
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        return await self._net.resolve(host, int(port or 0))

    async def getnameinfo(  # type: ignore[override]
        self, sockaddr: tuple[str, int], flags: int = 0
    ) -> tuple[str, str]:
        return sockaddr[0], str(sockaddr[1])

    # -- of BaseEventLoop ------------------------------------------------------------------------------

    def __del__(self) -> None:
        """It has nothing that had to be closed."""

    def _process_events(self, event_list: Iterable[object]) -> None:
        """There is no selector."""

    def _write_to_self(self) -> None:
        """There is no other thread."""


def _refuse_tls(options: dict[str, Any]) -> None:
    if options.get("ssl"):
        raise NotImplementedError("the simulated network has no TLS; use ws:// and http:// addresses")
