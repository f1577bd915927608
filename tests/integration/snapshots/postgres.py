"""A PostgreSQL of the system's packages, with a database of its own, for one test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cryptostream.processes.server import free_port
from tests.integration.snapshots.prefect_server import wait_for


def binaries() -> Path:
    """Where initdb and postgres are; skips where they are not."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    if not found and named is None:
        pytest.skip("PostgreSQL is not installed; get it by: apt-get install postgresql")
    return found[-1].parent if found else Path(str(named)).parent


@contextmanager
def postgres() -> Iterator[str]:
    """SQLAlchemy's address of an empty database whose owner may do what Prefect's migration needs."""
    # Not below pytest's own folder: every session of pytest that begins closes that to all other users.
    with tempfile.TemporaryDirectory(prefix="cryptostream-postgres-") as data:
        yield from _serve(Path(data))


def _serve(data: Path) -> Iterator[str]:
    programs, port = binaries(), free_port()
    user = _owner(data)
    _run(user, programs / "initdb", "-D", data, "-U", "prefect", "-A", "trust", "--no-sync")
    command: list[str | Path] = [
        programs / "postgres", "-D", data, "-p", str(port), "-c", f"unix_socket_directories={data}",
        "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
    ]  # fmt: skip
    server = subprocess.Popen(command, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ready: list[str | Path] = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        wait_for(
            lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0,
            60,
            "PostgreSQL is up",
        )
        _run(user, programs / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "prefect", "prefect")
        yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/prefect"
    finally:
        server.send_signal(signal.SIGINT)  # SIGTERM would wait for every client
        server.wait(60)


def _owner(data: Path) -> str | None:
    """Root may not run PostgreSQL: then it is the package's own user, to whom the directory is given."""
    if os.geteuid() != 0:
        return None
    os.chown(data, pwd.getpwnam("postgres").pw_uid, -1)
    return "postgres"


def _run(user: str | None, *command: str | Path) -> None:
    done = subprocess.run(command, user=user, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
