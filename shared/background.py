"""A worker thread that runs jobs one after another."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Background:
    """Runs jobs in the order in which they were submitted.

    Its thread is a daemon: a hanging job, for example on a store that does not answer, cannot keep the
    process from ending, as it would in an executor of the standard library.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, job: Callable[[], Answer]) -> Future[Answer]:
        """Run the job, unless its future is cancelled before its turn."""
        future: Future[Answer] = Future()
        self._jobs.put((job, future))
        return future

    def close(self) -> None:
        """End the thread after the submitted jobs."""
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
