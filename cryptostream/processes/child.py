"""A child process: its pipes, its bounded log, the reason of its end."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Final

from cryptostream.processes.launcher import start_bound
from shared.files import make_private
from shared.last_resort import end_in_words

_LOG_BYTES: Final = 5_000_000  # two files: 10 MB per child at most
_LAST_LINES: Final = 20
_ERROR_PREFIX: Final = "error: "  # shared.command.run_command
_ROOT: Final = Path(__file__).resolve().parents[2]


class _LogFile(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Ignore a full disk: the screen shows the last lines and warns of the disk."""


@dataclass(frozen=True, slots=True)
class Command:
    """A Python module to run, e.g. `producers`, with arguments and additions to the environment."""

    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]


class Child:
    """A running child. Its standard error goes to a log file. Two threads read its outputs, so that a busy
    parent never blocks it.
    """

    def __init__(
        self,
        command: Command,
        log_path: Path,
        on_output: Callable[[str], None],
        on_log: Callable[[str], None],
    ) -> None:
        """Start it.

        Args:
            on_output: called with each line of standard output, on another thread.
            on_log: the same for standard error.
        """
        log_path.parent.mkdir(parents=True, exist_ok=True)
        make_private(log_path)
        self._log = _LogFile(log_path, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._end: str | None = None  # kept apart: a crash prints many more lines
        # So that the package is found from any working directory, installed or not.
        search_path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        self._process = start_bound(
            [sys.executable, "-u", "-m", command.module, *command.arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            environment={**os.environ, "PYTHONPATH": search_path, **command.environment},
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        self._readers = [
            _read_lines(self._process.stdout, on_output),
            _read_lines(self._process.stderr, lambda line: self._note(line, on_log)),
        ]

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative if a signal ended it."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to end in order (SIGTERM)."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Read the rest of the pipes and close the log, after the child's end."""
        for reader in self._readers:
            reader.join(timeout=5.0)
        self._log.close()

    @property
    def last_error(self) -> str:
        """Why it ended: its error line, else its last line outside of a traceback; a crash as text."""
        if self._end is not None:
            return self._end
        lines = [line for line in self._last if not line[:1].isspace()]
        errors = [line for line in lines if line.startswith(_ERROR_PREFIX)]
        return (errors or lines or ["no output"])[-1].removeprefix(_ERROR_PREFIX)

    def _note(self, line: str, on_log: Callable[[str], None]) -> None:
        self._last.append(line)
        self._end = end_in_words(line) or self._end
        self._log.emit(logging.makeLogRecord({"msg": line}))
        on_log(line)


def _read_lines(pipe: IO[bytes], receive: Callable[[str], None]) -> threading.Thread:
    def read() -> None:
        with pipe:
            # A line is at most 64 kB: a child that writes without line ends cannot fill the memory.
            while line := pipe.readline(65_536):
                text = line.decode(errors="replace").rstrip()
                if text:
                    receive(text)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader
