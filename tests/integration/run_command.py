"""`cryptostream run` started as a user does, and what it has stored."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]


class Run:
    """A started `cryptostream run --no-ui` in a directory of the test.

    Args:
        given: what it gets on its standard input, a pipe.
    """

    def __init__(self, directory: Path, *words: str, given: str | None = None, **environment: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_")}
        self.output = directory / "output.txt"
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cryptostream.cli", "run", "--no-ui", *words],
                cwd=directory,
                env={**inherited, "PYTHONPATH": str(ROOT), **environment},
                stdin=None if given is None else subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

        if given is not None:
            assert self.process.stdin is not None
            self.process.stdin.write(given.encode())
            self.process.stdin.close()

    def wait(self, deadline_s: float = 400.0) -> int:
        return self.process.wait(deadline_s)

    @property
    def said(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def child(self, module: str, symbols: str | None = None) -> psutil.Process | None:
        """The running service of this module; of several, the one with these symbols on its command line."""
        for child in psutil.Process(self.process.pid).children():
            # One that was killed stays a zombie until the run looks after it.
            if child.status() == psutil.STATUS_ZOMBIE:
                continue
            words = child.cmdline()
            if module in words and symbols in (None, *words):
                return child
        return None

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def until(condition: Callable[[], bool], what: str, deadline_s: float = 180.0) -> None:
    give_up = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < give_up, f"waited in vain: {what}"
        time.sleep(0.05)


def rows(database: Path, query: str) -> list[dict[str, Any]]:
    with sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


def count(database: Path, table: str) -> int:
    if not database.exists():
        return 0
    try:
        return int(rows(database, f"SELECT count(*) AS n FROM {table}")[0]["n"])
    except sqlite3.OperationalError:  # the table comes with its first point
        return 0


@contextmanager
def runs_in(directory: Path) -> Iterator[Callable[..., Run]]:
    """Starts runs in a directory, and ends them all."""
    runs: list[Run] = []

    def start(*words: str, **environment: str) -> Run:
        runs.append(Run(directory, *words, **environment))
        return runs[-1]

    try:
        yield start
    finally:
        for run in runs:
            run.end()
