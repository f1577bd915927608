"""Threads that read the past beside the followers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from consumers.tap.kafka import Incarnations
from consumers.tap.reading import PartitionReader


class Jobs:
    """Reads the past beside the followers, several at a time, each with a reader of its own.

    Args:
        open_reader: makes a reader. on_failure: of an unexpected error.
        most: jobs that may wait for a thread.
        rests: after a job its thread rests for as long as that took, so that a flood of jobs takes no more
            than half of the interpreter from the others.
    """

    def __init__(
        self,
        open_reader: Callable[[Incarnations], PartitionReader],
        on_failure: Callable[[BaseException], None],
        stopped: threading.Event,
        threads: int = 4,
        *,
        most: int | None = None,
        rests: bool = False,
    ) -> None:
        self._open = open_reader
        self._on_failure = on_failure
        self._stopped = stopped
        self._most = most
        self._rests = rests
        self._lock = threading.Lock()
        self._waiting = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tap-fill")

    def run(
        self,
        incarnations: Incarnations,
        job: Callable[[PartitionReader], None],
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Run a job as soon as a thread is free, if it is wanted then; false: too many wait."""
        if self._stopped.is_set():
            return True
        with self._lock:
            if self._most is not None and self._waiting >= self._most:
                return False
            self._waiting += 1
        self._pool.submit(self._run, incarnations, job, is_wanted)
        return True

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(
        self,
        incarnations: Incarnations,
        job: Callable[[PartitionReader], None],
        is_wanted: Callable[[], bool],
    ) -> None:
        with self._lock:
            self._waiting -= 1
        if not is_wanted():
            return
        began_s = time.monotonic()
        try:
            reader = self._open(incarnations)
            try:
                job(reader)
            finally:
                reader.close()
        except BaseException as error:  # noqa: BLE001 - handed on; the process ends by it
            self._on_failure(error)
        if self._rests:
            self._stopped.wait(time.monotonic() - began_s)
