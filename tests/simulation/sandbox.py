"""Replaces time, chance and threads of this Python process by those of the simulated world.

`enter` must run before anything of ours, or of a library, is imported that could keep a reference to what
it replaces; hence simulations run in processes of their own. Afterwards no call site can escape: a thread
that would start is an error.
"""

from __future__ import annotations

import gc
import os
import random
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from tests.simulation.world import World

# For the harness itself: how long it has worked.
real_monotonic: Final = time.monotonic
real_cpu: Final = time.process_time

# Before any import that could keep one of the functions replaced.
_TOO_LATE: Final = ("shared", "asyncio", "aiohttp", "websockets", "confluent_kafka")


class Escape(AssertionError):
    """Code would leave the simulation, for example by a thread."""


class _Sandbox:
    def __init__(self) -> None:
        self.world: World | None = None
        self.entered = False
        self.random = random.Random(0)


_sandbox: Final = _Sandbox()


def enter() -> None:
    """Replace what is to be replaced, once.

    Raises:
        Escape: something was imported that may already have kept a reference, or hashes are not those of
            PYTHONHASHSEED=0.
    """
    if _sandbox.entered:
        return
    loaded = [name for name in _TOO_LATE if name in sys.modules]
    if loaded:
        raise Escape(f"{loaded[0]} was imported before the sandbox; enter it first")
    if os.environ.get("PYTHONHASHSEED") != "0":
        raise Escape("PYTHONHASHSEED is not 0; sets of strings would differ between runs")
    _sandbox.entered = True
    _replace_clocks()
    _replace_chance()
    # Collection would run finalizers at times that depend on what ran before.
    gc.disable()
    _replace_threads()
    _replace_shells()


def use(world: World | None, seed: int = 0) -> None:
    """Let clocks and chance be those of a world, if the sandbox was entered; None: time stands still."""
    _sandbox.world = world
    if _sandbox.entered:
        _sandbox.random.seed(seed)
        random.seed(seed)


def _monotonic() -> float:
    world = _sandbox.world
    return 10_000.0 if world is None else world.loop.now_s


def _time_ns() -> int:
    world = _sandbox.world
    return 1_780_000_000_000_000_000 if world is None else world.wall_ns()


def _replace_clocks() -> None:
    replaced: dict[str, Callable[..., Any]] = {
        "monotonic": _monotonic,
        "monotonic_ns": lambda: int(_monotonic() * 1e9),
        "perf_counter": _monotonic,
        "perf_counter_ns": lambda: int(_monotonic() * 1e9),
        "time": lambda: _time_ns() / 1e9,
        "time_ns": _time_ns,
        "sleep": _sleep,
    }
    for name, function in replaced.items():
        setattr(time, name, function)


def _sleep(seconds: float) -> None:
    from tests.simulation import tasks

    tasks.sleep(seconds)


class _Seeded(random.Random):
    """Without a seed it takes one from the world's chance."""

    def __init__(self, x: Any = None) -> None:
        super().__init__(_sandbox.random.random() if x is None else x)


def _replace_chance() -> None:
    os.urandom = _sandbox.random.randbytes
    setattr(random, "_urandom", _sandbox.random.randbytes)  # noqa: B010 - of SystemRandom
    random.Random = _Seeded  # type: ignore[misc]
    secrets.token_bytes = lambda nbytes=None: _sandbox.random.randbytes(32 if nbytes is None else nbytes)
    use(None)


def _refuse_thread(thread: threading.Thread) -> NoReturn:
    raise Escape(f"the thread {thread.name} would run outside of virtual time")


def _replace_threads() -> None:
    # It tells the operating system of a lock of its own, which has to be a real one.
    import concurrent.futures.thread  # noqa: F401

    # Imported before: its locks are never held across a wait, and are asked for often.
    import prometheus_client  # noqa: F401

    from tests.simulation import tasks

    setattr(threading.Thread, "start", _refuse_thread)  # noqa: B010
    threading.Event = tasks.Event  # type: ignore[misc]
    threading.Lock = tasks.Lock  # type: ignore[assignment]


def _getpid() -> int:
    """Of the simulated process that asks: services publish theirs."""
    return 1_000 + (0 if _sandbox.world is None else _sandbox.world.loop.current.number)


def _replace_shells() -> None:
    """What tunes or ends the whole Python process concerns one simulated process, or nothing, here."""
    os.getpid = _getpid
    from shared import interpreter, last_resort

    for name in ("freeze_gc", "shorten_switch_interval", "share_one_heap", "give_back"):
        setattr(interpreter, name, lambda: None)
    setattr(last_resort, "ended_after", _ended_after)  # noqa: B010


@contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """`shared.last_resort.ended_after` in virtual time: the simulated process ends with exit code 1."""
    world = _sandbox.world
    assert world is not None
    timer = world.end_later(seconds)
    try:
        yield
    finally:
        timer.cancel()
