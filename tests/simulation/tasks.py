"""Blocking code in virtual time: each piece runs in a greenlet, and waits by switching back to the loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from concurrent.futures import Future as ThreadFuture
from functools import partial
from types import TracebackType
from typing import Any, Final, TypeVar, cast

import greenlet

from shared.background import Background as ThreadBackground
from tests.simulation.loop import NOBODY, OWNER, PASS_S, Handle, Owner, VirtualLoop

Answer = TypeVar("Answer")

_ALWAYS: Final = -1.0
# Stages of a future.
_PENDING, _RUNNING, _CANCELLED, _DONE = range(4)


class LoopBlocked(AssertionError):
    """Code on the event loop waits without `await`: the whole process would stand still."""


class _Waiting:
    """Blocking code that waits."""

    __slots__ = ("piece", "ready", "timer")

    def __init__(self, piece: greenlet.greenlet, ready: Callable[[], bool]) -> None:
        self.piece = piece
        self.ready = ready
        self.timer: Handle | None = None


_NONE: Final[dict[int, _Waiting]] = {}


class Greenlets:
    """All blocking code of a world; gives its loop `run_in_executor`.

    Args:
        loop: the one whose handles run in the greenlet that makes this.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._hub = greenlet.getcurrent()
        self._pieces: dict[int, greenlet.greenlet] = {}
        # By owner, in the order in which they began to wait.
        self._waiting: dict[Owner, dict[int, _Waiting]] = {}
        self._number = 0
        loop.after_pass = self._look
        loop.run_blocking = self._in_executor

    @property
    def inside(self) -> bool:
        """Whether the code that asks may block."""
        return greenlet.getcurrent() is not self._hub

    def start(self, call: Callable[[], object]) -> None:
        """Run blocking code soon, in the context of who starts it."""
        owner = OWNER.get()
        self._number += 1
        number = self._number

        def run() -> None:
            try:
                call()
            except greenlet.GreenletExit:
                return
            del self._pieces[number]

        piece = greenlet.greenlet(run, parent=self._hub)
        piece.gr_context = contextvars.copy_context()
        # Not destroyed while the world goes on: that would run the `finally` of a killed process.
        self._pieces[number] = piece
        self._loop.call_soon(self._switch, piece, context=owner.context)

    def close(self) -> None:
        """End all pieces; what they do in `finally` must not matter any more."""
        self._waiting.clear()
        for piece in list(self._pieces.values()):
            piece.throw(greenlet.GreenletExit)
        self._pieces.clear()

    def _switch(self, piece: greenlet.greenlet) -> None:
        # What it does may let other code of its process go on, and of others only by way of a server.
        self._loop.touched.append(self._loop.current)
        piece.switch()

    def wait(self, ready: Callable[[], bool], timeout_s: float | None) -> bool:
        """Block until `ready()` or for `timeout_s`; whether it is ready.

        Raises:
            LoopBlocked: called on the event loop.
        """
        loop = self._loop
        loop.now_s += PASS_S  # code that only polls sees time pass
        if ready():
            return True
        if timeout_s is not None and timeout_s <= 0:
            return False
        piece = greenlet.getcurrent()
        if piece is self._hub:
            raise LoopBlocked(f"code on the event loop waits for up to {timeout_s} s")
        self._number += 1
        owner = loop.current
        waiting = _Waiting(piece, ready)
        self._waiting.setdefault(owner, {})[self._number] = waiting
        if timeout_s is not None:
            when_s = loop.now_s + timeout_s
            waiting.timer = loop.call_at(when_s, self._time_out, owner, self._number, context=owner.context)
        self._hub.switch()
        return ready()

    def parked(self) -> Callable[[], object]:
        """Resumes the code that asks, soon; to be called once it is parked."""
        return partial(self._loop.call_soon, self._switch, greenlet.getcurrent(), context=OWNER.get().context)

    def park(self) -> None:
        """Wait until somebody resumes the code that asks."""
        self._hub.switch()

    def _time_out(self, owner: Owner, number: int) -> None:
        waiting = self._waiting[owner].pop(number, None)
        if waiting is not None:
            self._switch(waiting.piece)

    def _look(self) -> None:
        """Resume what has become ready, in the order in which it began to wait."""
        touched, waiting = self._loop.touched, self._waiting
        owners = list(waiting) if NOBODY in touched else dict.fromkeys(touched)
        touched.clear()
        ready: list[tuple[Owner, int]] = []
        for owner in owners:
            if not owner.alive:
                owner.buried.append(waiting.pop(owner, None))
                continue
            for number, each in waiting.get(owner, _NONE).items():
                if each.ready():
                    ready.append((owner, number))
        for owner, number in ready:
            found = waiting[owner].pop(number)
            if found.timer is not None:
                found.timer.cancel()
            self._loop.call_soon(self._switch, found.piece, context=owner.context)

    def _in_executor(self, call: Callable[[], Any]) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = self._loop.create_future()

        def run() -> None:
            try:
                value = call()
            except greenlet.GreenletExit:
                raise
            except BaseException as error:  # noqa: BLE001 - handed to whoever awaits it
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(value)

        self.start(run)
        return answer


class _Active:
    """The world in which blocking code of this process runs now."""

    def __init__(self) -> None:
        self.greenlets: Greenlets | None = None
        self.loop: VirtualLoop | None = None


_active: Final = _Active()


def activate(greenlets: Greenlets | None, loop: VirtualLoop | None) -> None:
    """Let events, locks, futures and workers of this module belong to a world."""
    _active.greenlets, _active.loop = greenlets, loop


def wait(ready: Callable[[], bool], timeout_s: float | None) -> bool:
    """See `Greenlets.wait`."""
    if _active.greenlets is None:
        raise LoopBlocked("blocking code waits, and there is no world")
    return _active.greenlets.wait(ready, timeout_s)


def _changed() -> None:
    if _active.loop is not None:
        _active.loop.touched.append(NOBODY)


class Event(threading.Event):
    """`threading.Event` in virtual time."""

    def set(self) -> None:
        super().set()
        _changed()

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set() or wait(self.is_set, timeout)


class Lock:
    """`threading.Lock` in virtual time."""

    def __init__(self) -> None:
        self._locked = False

    def acquire(self, blocking: bool = True, timeout: float = _ALWAYS) -> bool:
        if self._locked and blocking:
            wait(lambda: not self._locked, None if timeout == _ALWAYS else timeout)
        if self._locked:
            return False
        self._locked = True
        return True

    def release(self) -> None:
        if not self._locked:
            raise RuntimeError("release unlocked lock")
        self._locked = False
        _changed()

    def locked(self) -> bool:
        return self._locked

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Future(ThreadFuture[Answer]):
    """A future for which blocking code waits in virtual time; without the locks of threads."""

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._error: BaseException | None = None
        self._stage = _PENDING
        self._calls: list[Callable[[Any], object]] = []

    def done(self) -> bool:
        return self._stage >= _CANCELLED

    def cancelled(self) -> bool:
        return self._stage == _CANCELLED

    def running(self) -> bool:
        return self._stage == _RUNNING

    def cancel(self) -> bool:
        if self._stage == _PENDING:
            self._end(_CANCELLED)
        return self._stage == _CANCELLED

    def set_running_or_notify_cancel(self) -> bool:
        if self._stage == _CANCELLED:
            return False
        self._stage = _RUNNING
        return True

    def set_result(self, result: Answer) -> None:
        self._answer = result
        self._end(_DONE)

    def set_exception(self, exception: BaseException | None) -> None:
        self._error = exception
        self._end(_DONE)

    def _end(self, stage: int) -> None:
        self._stage = stage
        for call in self._calls:
            call(self)

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        if self.done():
            fn(self)
        else:
            self._calls.append(fn)

    def result(self, timeout: float | None = None) -> Answer:
        error = self.exception(timeout)
        if error is not None:
            raise error
        return cast(Answer, self._answer)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if self._stage < _CANCELLED and not wait(self.done, timeout):
            raise TimeoutError
        if self._stage == _CANCELLED:
            raise CancelledError
        return self._error


class Background(ThreadBackground):
    """`shared.background.Background` whose thread is a greenlet, which sleeps while there are no jobs."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._working = False
        self._wake: Callable[[], object] | None = None

    def submit(self, job: Callable[[], Answer]) -> Future[Answer]:
        """Run the job after those before it."""
        assert _active.greenlets is not None, "there is no world"
        future: Future[Answer] = Future()
        self._waiting.append((job, future))
        if not self._working:
            self._working = True
            if self._wake is None:
                _active.greenlets.start(self._work)
            else:
                self._wake()
        return future

    def close(self) -> None:
        """Nothing is left behind when the jobs are done."""

    def _work(self) -> None:
        assert _active.greenlets is not None
        while True:
            while self._waiting:
                _do(*self._waiting.popleft())
            self._working = False
            self._wake = _active.greenlets.parked()
            _active.greenlets.park()


def _do(job: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        answer = job()
    except greenlet.GreenletExit:
        raise
    except BaseException as error:  # noqa: BLE001 - handed to whoever asks the future
        future.set_exception(error)
    else:
        future.set_result(answer)


def sleep(seconds: float) -> None:
    """`time.sleep` in virtual time.

    Raises:
        LoopBlocked: called on the event loop.
    """
    wait(lambda: False, max(seconds, PASS_S))
