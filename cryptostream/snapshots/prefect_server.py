"""The Prefect server: one that a command starts for itself, and what may be wrong with one that was named."""

from __future__ import annotations

import os
import secrets
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptostream.processes.server import EngineUnavailable, ServerProcess, free_port
from pipelines.snapshots.login import LOGIN, SERVER_LOGIN, closed_server
from shared.errors import CryptoStreamError
from shared.files import make_private, narrow
from shared.proxies import direct

# 9 s were measured for a new database on an idle machine.
_SERVER_WITHIN_S: Final = 120.0
_VERSION_WITHIN_S: Final = 5.0
OPEN_SERVER: Final = (
    "it answers anybody, and so any web page could run a shell here: see docs/snapshots.md, Login"
)


class ServerFailed(CryptoStreamError):
    """The Prefect server that was started for this command did not come up."""


class ServerUnavailable(CryptoStreamError):
    """The Prefect server of PREFECT_API_URL does not answer, or refuses our login."""

    def __init__(self, address: str, error: Exception) -> None:
        # httpx is imported only where it is needed.
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            super().__init__(
                f"PREFECT_API_URL: {address} refuses our login; set PREFECT_API_AUTH_STRING to the server's"
            )
            return
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        super().__init__(f"PREFECT_API_URL: {address} does not answer ({reason}); is it up?")


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """Start a server with its database, log and login in a directory; yields the address of its API.

    The login stays in the environment, where runs need it.

    Raises:
        ServerFailed: it does not come up.
    """
    home.mkdir(parents=True, exist_ok=True)
    narrow(home)
    os.environ.setdefault("PREFECT_HOME", str(home.resolve()))
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    login = os.environ[LOGIN] = _login(login_file(home))
    closed = closed_server(login, [address, f"http://localhost:{port}"])
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    try:
        server = ServerProcess(
            "the Prefect server",
            command,
            home / "server.log",
            lambda: _is_healthy(address),
            deadline_s=_SERVER_WITHIN_S,
            environment={**os.environ, **closed},
        )
    except EngineUnavailable as error:
        raise ServerFailed(str(error)) from None
    try:
        yield f"{address}/api"
    finally:
        server.stop()


def login_file(home: Path) -> Path:
    """The file with the server's login in one line, for people."""
    return home / "login"


def answers_anybody(address: str) -> bool:
    """Whether an API answers a request without a login; False if it does not answer at all.

    Args:
        address: PREFECT_API_URL.
    """
    try:
        request = urllib.request.Request(f"{address}/admin/version")
        # A proxy's answer would not be the server's.
        with direct().open(request, timeout=_VERSION_WITHIN_S):
            return True
    except (OSError, ValueError):
        return False  # refused or absent: the caller's next request reports it


def _login(path: Path) -> str:
    """The user's own, else that of the last start: browsers remember it."""
    own = os.environ.get(SERVER_LOGIN)
    kept = own or (path.read_text(encoding="utf-8").strip() if path.exists() else "")
    login = kept or f"admin:{secrets.token_urlsafe(24)}"
    make_private(path)
    path.write_text(login + "\n", encoding="utf-8")
    return login


def _is_healthy(address: str) -> bool:
    try:
        with direct().open(f"{address}/api/health", timeout=2):
            return True
    except OSError:
        return False
