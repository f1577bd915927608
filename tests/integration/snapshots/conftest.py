"""Azurite for the tests of object storage, and one Prefect server for those that need not have their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cryptostream.engines.fetch import engines_dir
from cryptostream.processes.server import free_port
from tests.integration.snapshots.prefect_server import Server, prefect_server

# The emulator's published key: the same everywhere, no secret.
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def connection_string(port: int, key: str = _KEY) -> str:
    return (
        f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={key};"
        f"BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
    )


def _program() -> Path | None:
    found = sorted(engines_dir().glob("azurite-*/node_modules/.bin/azurite-blob"))
    named = shutil.which("azurite-blob")
    return found[-1] if found else Path(named) if named else None


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Connection string of an emulated storage account, empty."""
    program = _program()
    if program is None:
        pytest.skip("azurite is not in the cache of engines; get it by: make azurite")
    port = free_port()
    log = (tmp_path_factory.mktemp("azurite") / "log").open("wb")
    command = [
        str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port),
        "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent",
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "DO_NOT_TRACK": "1"})
    try:
        _await_port(server, port)
        yield connection_string(port)
    finally:
        server.terminate()
        server.wait(10)
        log.close()


def _await_port(server: subprocess.Popen[bytes], port: int) -> None:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("azurite did not come up within 60 s")


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prefect server with metadata in SQLite; starting one takes 9 s."""
    directory = tmp_path_factory.mktemp("prefect")
    with prefect_server(directory, {}) as server:
        yield server
