"""Errors of threads, which must end the service: a page that looks alive and is not is worse than none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any


class Failures:
    """The first error of any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first: BaseException | None = None
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def tell(self, error: BaseException) -> None:
        """Report an error, from any thread."""
        with self._lock:
            self._first = self._first or error
            waiting = self._waiting
        if waiting is not None:
            loop, event = waiting
            loop.call_soon_threadsafe(event.set)

    async def during(self, work: Coroutine[Any, Any, None]) -> None:
        """Await `work`; raise the first error if there is one before it ends."""
        failed = asyncio.Event()
        with self._lock:
            self._waiting = asyncio.get_running_loop(), failed
            if self._first is not None:
                failed.set()
        tasks = [asyncio.ensure_future(work), asyncio.ensure_future(failed.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            with self._lock:
                self._waiting = None
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if self._first is not None:
            raise self._first
        await tasks[0]
