"""Services as their users start them: one process each, ended for certain when the test ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson

ROOT = Path(__file__).resolve().parents[1]

Result = TypeVar("Result")


def wait_for(
    what: str, look: Callable[[], Result | None], deadline_s: float = 60.0, running: Sequence[Any] = ()
) -> Result:
    """The first result of `look` that is neither None nor False.

    Raises:
        AssertionError: naming `what`, after `deadline_s`, or as soon as one of `running` has ended.
    """
    give_up = time.monotonic() + deadline_s
    while True:
        result = look()
        if result is not None and result is not False:
            return result
        for process in running:
            assert process.poll() is None, f"{process.args} ended with {process.returncode} before {what}"
        assert time.monotonic() < give_up, f"no {what} within {deadline_s} s"
        time.sleep(0.1)


@contextmanager
def service(
    module: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m module arguments…`, with only these settings, stopped by SIGTERM at the end."""
    process = start(module, arguments, environment)
    try:
        yield process
    finally:
        stop(process)


def start(
    module: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**_inherited(), "PYTHONPATH": str(ROOT), **(environment or {})},
        **options,
    )


def stop(process: subprocess.Popen[bytes], timeout_s: float = 15.0) -> int:
    """End a service by SIGTERM; its exit code."""
    process.terminate()
    try:
        return process.wait(timeout_s)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@contextmanager
def simulator(arguments: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A simulator on a free port; what it says when it listens (`rest_url`, `ws_url`, `port`)."""
    process = start("simulator", ["--port", "0", *arguments], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield orjson.loads(process.stdout.readline())
    finally:
        stop(process)


def cryptostream(
    arguments: Sequence[str],
    directory: Path,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 240,
) -> subprocess.CompletedProcess[str]:
    """The command line tool, run to its end in `directory`."""
    return subprocess.run(
        [sys.executable, "-m", "cryptostream.cli", *arguments],
        cwd=directory,
        env={**_inherited(), "PYTHONPATH": str(ROOT), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def _inherited() -> dict[str, str]:
    """The environment without settings of ours: a developer's own must not change what a test means."""
    ours = ("BINANCE_", "KAFKA_", "INFLUX_", "STORE", "SQLITE_", "SYMBOLS", "INTERVALS", "INDICATORS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
