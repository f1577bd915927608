"""A thread of its own for one kind of work, one job after another."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Background:
    """Runs jobs in the order in which they were given.

    Its thread is a daemon, so that a job that hangs, as on a store that does not answer, cannot hold the
    process beyond its stop; an executor of the standard library would.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, job: Callable[[], Answer]) -> Future[Answer]:
        """Run it, unless the future is cancelled before its turn; that has what it returns or raises."""
        future: Future[Answer] = Future()
        self._jobs.put((job, future))
        return future

    def close(self) -> None:
        """End the thread, after what it was given."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (given := self._jobs.get()) is not None:
            job, future = given
            if not future.set_running_or_notify_cancel():
                continue
            try:
                answer = job()
            except BaseException as error:  # noqa: BLE001 - handed to whoever asks the future
                future.set_exception(error)
            else:
                future.set_result(answer)
