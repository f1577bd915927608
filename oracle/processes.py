"""Processes of a run: the exchange, the command under test, and the command's child processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).resolve().parents[1]
_UP_S: Final = 60.0
_POLL_S: Final = 0.05
_KEPT_LINES: Final = 20_000
# Without the environment's proxies: all servers are on this machine.
OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class OracleError(Exception):
    """A run could not be made, so that there is nothing to check."""


class Program:
    """A running program; a thread collects both of its outputs."""

    def __init__(
        self, command: Sequence[str], directory: Path, environment: Mapping[str, str], *, say_to: Path
    ) -> None:
        self._said_to = say_to
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as said, self._said_to.open("w", encoding="utf-8") as kept:
            for line in said:
                kept.write(line)
                kept.flush()
                if len(self.lines) < _KEPT_LINES:
                    self.lines.append(line.rstrip("\n"))

    def wait(self, until_s: float, meanwhile: Callable[[], None] = lambda: None) -> int | None:
        """The exit code; None if it was killed, with its descendants, at the monotonic time `until_s`."""
        while self.process.poll() is None:
            if time.monotonic() > until_s:
                self.kill()
                return None
            meanwhile()
            time.sleep(_POLL_S)
        self._reader.join(10)
        return self.process.returncode

    def kill(self) -> None:
        """Kill it and its descendants."""
        started = [self.process.pid, *descendants(self.process.pid)]
        for pid in started:
            _signal(pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(10)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


def descendants(pid: int) -> list[int]:
    """Child processes, and their own."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                status = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue  # it has ended
            # pid (name) state ppid …; the name may hold anything, brackets too.
            parents[int(folder.name)] = int(status.rpartition(")")[2].split()[1])
    found, open_ = [], [pid]
    while open_:
        parent = open_.pop()
        children = [child for child, of in parents.items() if of == parent]
        found += children
        open_ += children
    return found


def signal_child(pid: int, target: str, number: signal.Signals) -> bool:
    """Signal descendants of a process that have `target` among their arguments; whether there was one."""
    struck = False
    for child in descendants(pid):
        try:
            arguments = Path(f"/proc/{child}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if target in arguments:
            _signal(child, number)
            struck = True
    return struck


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has ended


def environment(**more: str) -> dict[str, str]:
    """The environment of a new user's shell, without any settings."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "CRYPTOSTREAM_ENGINES", "XDG_CACHE_HOME", "JAVA_HOME")
    return {name: os.environ[name] for name in kept if name in os.environ} | more


class Exchange:
    """A simulated exchange and its log.

    Attributes:
        url: its REST address.
    """

    def __init__(self, arguments: Sequence[str], directory: Path) -> None:
        self.log = directory / "issued.jsonl"
        command = [sys.executable, "-u", "-m", "simulator", "--port", "0", "--log", str(self.log), *arguments]
        started = environment(PYTHONPATH=str(ROOT))
        self._program = Program(command, directory, started, say_to=directory / "exchange.log")
        self.port = self._listening()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}"

    def now_ms(self) -> int:
        """Its own clock."""
        return int(self._state()["now_ms"])

    def first_asked_ms(self) -> int | None:
        """When a client first asked for more than a sign of life."""
        asked: int | None = self._state()["first_asked_ms"]
        return asked

    def _state(self) -> dict[str, Any]:
        with OPENER.open(f"{self.url}/simulator/state", timeout=30) as answer:
            state: dict[str, Any] = json.loads(answer.read())
        return state

    def check(self) -> None:
        """Raise OracleError if the exchange has failed."""
        complaints = [line for line in self._program.lines if "the market has stopped" in line]
        if complaints or self._program.process.poll() is not None:
            raise OracleError(f"the exchange has failed: {(complaints or self._program.lines)[-3:]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._program.send(signal.SIGTERM)
        self._program.wait(time.monotonic() + 30)

    def _listening(self) -> int:
        give_up_s = time.monotonic() + _UP_S
        while time.monotonic() < give_up_s and self._program.process.poll() is None:
            for line in self._program.lines:
                if line.startswith('{"event":"listening"'):
                    return int(json.loads(line)["port"])
            time.sleep(_POLL_S)
        self._program.kill()
        raise OracleError(f"the exchange does not listen: {self._program.lines[-3:]}")
