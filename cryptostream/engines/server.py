"""A server process of ours: a free port, a start that is waited for, a stop that is certain."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from cryptostream.child import bound_to_parent
from cryptostream.engines.fetch import EngineUnavailable

_POLL_S: Final = 0.1


def free_port() -> int:
    """A TCP port on the loopback address that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_open(port: int) -> bool:
    """Whether something accepts connections on this port of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class ServerProcess:
    """A child process that serves on the loopback address, logs to a file, and dies with us."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_file: Path,
        ready: Callable[[], bool],
        *,
        deadline_s: float = 60.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the process and wait until `ready()`.

        Raises:
            EngineUnavailable: it ended or was not ready in time; the message has its last line of output.
        """
        self.name = name
        self.log_file = log_file
        log_file.parent.mkdir(parents=True, exist_ok=True)
        self._log: IO[bytes] = log_file.open("wb")
        self.process = subprocess.Popen(
            bound_to_parent(command),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # the terminal's Ctrl-C is the parent's to deal with
        )
        give_up = time.monotonic() + deadline_s
        while not ready():
            if self.process.poll() is not None or time.monotonic() > give_up:
                ended = self.process.poll()
                self.stop()
                why = "was not ready in time" if ended is None else f"ended with exit code {ended}"
                raise EngineUnavailable(f"{name} {why}: {self.last_line()} (log: {log_file})")
            time.sleep(_POLL_S)

    @property
    def pid(self) -> int:
        return self.process.pid

    def last_line(self) -> str:
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "no output"

    def stop(self, timeout_s: float = 20.0) -> None:
        """End the process by SIGTERM, by SIGKILL if it does not obey in time."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()

    def kill(self) -> None:
        """End the process by SIGKILL: a crash, for tests."""
        self.process.kill()
        self.process.wait()
        self._log.close()
