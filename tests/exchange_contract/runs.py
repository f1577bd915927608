"""Runs by exchange and case, each made by a worker process when it is asked for first."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import Self

from tests.conftest import ROOT
from tests.exchange_contract.cases import Order
from tests.exchange_contract.stand import Run


class RunFailed(Exception):
    """A run ended with an error, or its worker did."""


class Worker:
    """One worker process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.exchange_contract.worker"],
            cwd=ROOT,
            # The order of sets of strings is part of a run.
            env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def carried(self, order: Order) -> Run:
        """Make a run.

        Raises:
            RunFailed: it has failed, or the worker has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump(order, self._process.stdin)
            self._process.stdin.flush()
            answer = pickle.load(self._process.stdout)
        except (BrokenPipeError, EOFError):
            raise RunFailed(f"the worker ended with exit code {self._process.wait()}") from None
        if not isinstance(answer, Run):
            raise RunFailed(f"{order}:\n{answer}")
        return answer


class Runs(dict[tuple[str, str], Run]):
    """By exchange and case."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker = worker
        self._failed: dict[tuple[str, str], RunFailed] = {}

    def __missing__(self, key: tuple[str, str]) -> Run:
        """Raises: RunFailed: also for all who ask again."""
        if key in self._failed:
            raise self._failed[key]
        try:
            run = self[key] = self._worker.carried(Order(*key))
        except RunFailed as error:
            self._failed[key] = error
            raise
        return run
