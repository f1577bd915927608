"""A Prefect server of this machine's own, for as long as a command needs it."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipelines.snapshots.login import LOGIN, SERVER_LOGIN, closed_server
from shared.errors import CryptoStreamError
from shared.private_files import make_private, narrow
from shared.proxies import direct

# 9 s were measured for a new database on an idle machine.
_SERVER_WITHIN_S: Final = 120.0
_STOP_WITHIN_S: Final = 15.0


class ServerFailed(CryptoStreamError):
    """The Prefect server that was started for this command did not come up."""


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """A server with its database, log and login in a directory; gives its API's address.

    The login is in the environment from then on, as runs need it.

    Raises:
        ServerFailed: it does not come up.
    """
    home.mkdir(parents=True, exist_ok=True)
    narrow(home)
    os.environ.setdefault("PREFECT_HOME", str(home.resolve()))
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    login = os.environ[LOGIN] = _login(login_file(home))
    closed = closed_server(login, [address, f"http://localhost:{port}"])
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("ab") as log:
        # Its own group: Ctrl-C goes to this process, which ends the server after the runs.
        server = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **closed}
        )
    try:
        _await_health(server, address, home)
        yield f"{address}/api"
    finally:
        server.terminate()
        try:
            server.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def login_file(home: Path) -> Path:
    """Where the server's login is for people, in one line."""
    return home / "login"


def _login(path: Path) -> str:
    """The user's own, else that of the last start, so that a browser that knows it still does."""
    own = os.environ.get(SERVER_LOGIN)
    kept = own or (path.read_text(encoding="utf-8").strip() if path.exists() else "")
    login = kept or f"admin:{secrets.token_urlsafe(24)}"
    make_private(path)
    path.write_text(login + "\n", encoding="utf-8")
    return login


def _await_health(server: subprocess.Popen[bytes], address: str, home: Path) -> None:
    deadline_s = time.monotonic() + _SERVER_WITHIN_S
    while time.monotonic() < deadline_s and server.poll() is None:
        try:
            with direct().open(f"{address}/api/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise ServerFailed(f"the Prefect server did not come up; {home / 'server.log'} says why")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
