"""Simulators that benchmarks start."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import orjson

from bench.processes import running

_LISTENING_S: Final = 90.0


class NotListening(Exception):
    """A simulator or one of its clients did not come up."""


@contextmanager
def simulator(arguments: Sequence[str], output: Path, *, log: Path | None = None) -> Iterator[str]:
    """A running simulator; its URL, once it listens.

    Args:
        output: file of what it prints.
        log: of what it issues.

    Raises:
        NotListening: it did not come up.
    """
    command = [sys.executable, "-m", "simulator", *arguments, *(["--log", str(log)] if log else [])]
    with (
        output.open("wb") as file,
        running(command, {}, stdout=file, stderr=subprocess.STDOUT) as process,
    ):
        give_up = time.monotonic() + _LISTENING_S
        while not (found := _listening(output)):
            if process.poll() is not None or time.monotonic() > give_up:
                raise NotListening(f"a simulator did not come up: {output.read_text()[-300:]}")
            time.sleep(0.1)
        yield found


def _listening(output: Path) -> str:
    for line in output.read_bytes().splitlines(keepends=True):
        if b'"listening"' in line and line.endswith(b"\n"):
            return str(orjson.loads(line)["rest_url"])
    return ""
