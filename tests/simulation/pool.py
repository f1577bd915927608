"""Worker processes, side by side, that run schedules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, Self

from tests.simulation.outcome import Outcome
from tests.simulation.schedule import Schedule

_ROOT: Final = Path(__file__).resolve().parents[2]
Request = int | Schedule  # a seed, or what was made of one


class WorkerFailed(Exception):
    """A worker ended; its standard error says why."""


class Worker:
    """One worker process; an error in its runs is an outcome, one in itself is `WorkerFailed`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.simulation.worker"],
            cwd=_ROOT,
            # The order of sets of strings is part of a run.
            env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, request: Request, *, trace: bool = False, planted: str | None = None) -> Outcome:
        """Run a seed or a schedule.

        Args:
            trace: keep all lines.
            planted: a bug that this run has, and no other.

        Raises:
            WorkerFailed: it has ended.
        """
        asked: dict[str, Any] = {"trace": trace, "planted": planted}
        if isinstance(request, Schedule):
            asked["schedule"] = request.to_json()
        else:
            asked["seed"] = request
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except (BrokenPipeError, ValueError):  # it has ended, or was closed
            answer = ""
        if not answer:
            raise WorkerFailed(f"a worker ended with exit code {self._process.wait()}")
        return Outcome.from_json(answer)


def run_all(requests: Iterable[Request], jobs: int, planted: str | None = None) -> Iterator[Outcome]:
    """The outcomes of all requests, in the order in which they end.

    Raises:
        WorkerFailed: a worker has ended.
    """
    todo = iter(requests)
    taking = threading.Lock()
    done: SimpleQueue[Outcome | BaseException | None] = SimpleQueue()

    def work(worker: Worker) -> None:
        try:
            while True:
                with taking:
                    request = next(todo, None)
                if request is None:
                    break
                done.put(worker.run(request, planted=planted))
        except WorkerFailed as error:
            done.put(error)
        done.put(None)

    with ExitStack() as opened:
        workers = [opened.enter_context(Worker()) for _ in range(jobs)]
        for worker in workers:
            threading.Thread(target=work, args=(worker,), daemon=True).start()
        left = len(workers)
        while left:
            outcome = done.get()
            if outcome is None:
                left -= 1
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                yield outcome
