"""Servers that we start: a start that waits until they answer, a stop that is certain."""

from __future__ import annotations

import importlib.util
import random
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Self

from cryptostream.processes.launcher import start_bound
from shared.errors import CryptoStreamError

_POLL_S: Final = 0.1
# Below those that systems give to whoever asks for any port, also to clients: while a server is down, they
# would sooner or later be given its port, and one that asks for it again and again is connected to itself.
_PORTS: Final = range(20_000, 32_000)
_TRIES: Final = 200
# Two processes of the same seed choose others.
_CHANCE: Final = random.SystemRandom()


class EngineUnavailable(CryptoStreamError):
    """An engine can neither be found, made nor started here; the message says what is missing."""


def require_engines() -> None:
    """Raises:
    EngineUnavailable: this is the image, which has no `cryptostream.engines`.
    """
    if importlib.util.find_spec("cryptostream.engines") is None:
        raise EngineUnavailable("cryptostream.engines: not part of the image")


def free_port() -> int:
    """A TCP port on the loopback address that was free a moment ago, below those that clients usually get.

    Raises:
        EngineUnavailable: none is free.
    """
    for port in _CHANCE.sample(_PORTS, _TRIES):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise EngineUnavailable(f"no port between {_PORTS.start} and {_PORTS.stop} is free on 127.0.0.1")


class ServerProcess:
    """A child process that serves on the loopback address, logs to a file, and dies with this process."""

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
        self.process = start_bound(
            command, stdout=self._log, stderr=subprocess.STDOUT, environment=environment
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
        """End the process by SIGTERM, after `timeout_s` by SIGKILL."""
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


class LocalServer(ABC):
    """A running server that can be restarted on the same port and data.

    Attributes:
        directory: all its data.
    """

    def __init__(self, directory: Path, port: int | None) -> None:
        """Start it, on a free port if none is given, and wait until it answers.

        Raises:
            EngineUnavailable: it can neither be found nor made, or does not come up.
        """
        self.directory = directory.resolve()
        self.port = port or free_port()
        self.server = self._start()

    @abstractmethod
    def _start(self) -> ServerProcess:
        """Start the process on the port and the data, and wait until it answers."""

    def restart(self) -> None:
        """Start again after `stop()` or `kill()`."""
        self.server = self._start()

    def stop(self) -> None:
        self.server.stop()

    def kill(self) -> None:
        self.server.kill()

    @property
    def pid(self) -> int:
        return self.server.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
