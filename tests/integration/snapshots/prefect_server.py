"""A real Prefect server, worker and simulated exchange for a test, each a process of its own."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cryptostream.processes.server import free_port
from pipelines.snapshots.login import closed_server
from shared.proxies import direct

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent


LOGIN = "admin:of the tests"

Answered = TypeVar("Answered")


def authorization(login: str) -> str:
    """The header that says who asks."""
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def when_free(ask: Callable[[], Answered]) -> Answered:
    """What the server answers. It says 503 while SQLite is written to: Prefect's own clients ask again, too.

    Raises:
        urllib.error.HTTPError: another status that is none of success, or a minute of 503.
    """
    given_up = time.monotonic() + 60
    while True:
        try:
            return ask()
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > given_up:
                raise
            error.close()
            time.sleep(1)


@dataclass
class Server:
    """Attributes:
    environment: of everything that talks to it.
    """

    url: str
    environment: Mapping[str, str]
    directory: Path

    @property
    def login(self) -> str:
        return self.environment["PREFECT_API_AUTH_STRING"]

    @property
    def client(self) -> dict[str, str]:
        """What another environment needs to ask it."""
        return {name: self.environment[name] for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")}

    def ask(self, path: str, body: Any = None) -> Any:
        """An answer of the API; POST where there is a body. With login and token, as its clients ask."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Authorization": authorization(self.login)}
        if body is not None:
            token = self.ask("csrf-token?client=tests")["token"]
            headers |= {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "tests"}
        request = urllib.request.Request(f"{self.url}/api/{path}", content, headers)
        with when_free(lambda: direct().open(request, timeout=60)) as answer:
            return json.load(answer)

    def run(self, *command: str, timeout_s: float = 120) -> str:
        """A command to its end; its output."""
        done = subprocess.run(
            command, env=self.environment, cwd=self.directory, capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def command(self, *command: str, timeout_s: float = 120, **settings: str) -> int:
        """A command to its end, whichever, with more settings; its exit code."""
        done = subprocess.run(
            command, env={**self.environment, **settings}, cwd=self.directory, capture_output=True,
            text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode


@contextmanager
def process(name: str, directory: Path, environment: Mapping[str, str], *command: str) -> Iterator[Path]:
    """A process until the end of the block; the file of its output."""
    log = directory / f"{name}.log"
    with log.open("wb") as out:
        # SIGINT ends Prefect's processes whatever the shell did to SIGTERM.
        started = subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=directory)
        try:
            yield log
        finally:
            started.send_signal(signal.SIGINT)
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


@contextmanager
def prefect_server(
    directory: Path, settings: Mapping[str, str], database: str | None = None
) -> Iterator[Server]:
    """A server with its own database, SQLite unless another is named."""
    url = f"http://127.0.0.1:{free_port()}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PREFECT_HOME": str(directory / "home"),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_API_AUTH_STRING": LOGIN,
        **closed_server(LOGIN, [url]),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        **({"PREFECT_SERVER_DATABASE_CONNECTION_URL": database} if database else {}),
        **settings,
    }
    port = url.rpartition(":")[2]
    command = (str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", port, "--no-ui")
    with process("server", directory, environment, *command):
        server = Server(url, environment, directory)
        wait_for(lambda: server.ask("health"), 300, "the Prefect server is up")
        yield server


@contextmanager
def exchange(directory: Path, symbols: Sequence[str], *faults: str) -> Iterator[str]:
    """A simulated exchange; its REST address."""
    port = str(free_port())
    flags = [flag for fault in faults for flag in ("--fault", fault)]
    command = (sys.executable, "-m", "simulator", "--port", port, "--symbols", ",".join(symbols), *flags)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with ExitStack() as stack:
        log = stack.enter_context(process("exchange", directory, environment, *command))
        wait_for(lambda: b"listening" in log.read_bytes(), 60, "the simulated exchange is up")
        yield f"http://127.0.0.1:{port}"


def wait_for(holds: Callable[[], Any], within_s: float, what: str) -> Any:
    """What it returns once that is true.

    Raises:
        AssertionError: it does not become true in time.
    """
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        try:
            if found := holds():
                return found
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass  # not up yet
        time.sleep(0.5)
    raise AssertionError(f"not within {within_s:.0f} s: {what}")
