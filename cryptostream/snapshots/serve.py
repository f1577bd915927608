"""`cryptostream snapshots serve`: every slot of a schedule, on this machine, until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from cryptostream.snapshots.settings import settings_of
from cryptostream.snapshots.simulated import simulated_exchange
from pipelines.snapshots.quiet import quiet
from pipelines.snapshots.settings import SnapshotSettings
from shared.errors import CryptoStreamError

# 9 s were measured for a new database on an idle machine.
_SERVER_WITHIN_S: Final = 120.0
_STOP_WITHIN_S: Final = 15.0


class ServerFailed(CryptoStreamError):
    """The Prefect server that was started for this command did not come up."""


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM.

    Raises:
        SettingsError: wrong settings.
        ServerFailed: no server of PREFECT_API_URL was named, and none could be started.
    """
    settings = settings_of(args)
    quiet()
    with ExitStack() as stack:
        if args.source == "simulator":
            # Runs are processes of their own: they find the exchange by their environment.
            os.environ["BINANCE_REST_URL"] = stack.enter_context(_simulator(settings))
        if not os.environ.get("PREFECT_API_URL"):
            os.environ["PREFECT_API_URL"] = stack.enter_context(_server(settings.snapshot_dir / "prefect"))
        sys.stdout.write(
            f"every {settings.interval_ms // 60_000} min: {', '.join(settings.snapshot_symbols)}; "
            f"runs at {os.environ['PREFECT_API_URL'].removesuffix('/api')}; Ctrl-C ends it\n"
        )
        sys.stdout.flush()
        _serve(settings)
    return 0


def _serve(settings: SnapshotSettings) -> None:
    from prefect.schedules import Cron  # noqa: PLC0415 - after the environment is set

    from pipelines.snapshots.flow import market_snapshot, parameters_of  # noqa: PLC0415

    market_snapshot.serve(
        name="serve",
        schedules=[Cron(settings.snapshot_cron, timezone="UTC")],
        limit=1,  # two at once would share one weight budget without knowing of each other
        pause_on_shutdown=False,
        print_starting_message=False,
        parameters=parameters_of(settings) | {"directory": str(settings.snapshot_dir.resolve())},
    )


@contextmanager
def _server(home: Path) -> Iterator[str]:
    """A Prefect server of this command's own; its API's address."""
    home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PREFECT_HOME", str(home.resolve()))
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("ab") as log:
        # Its own group: Ctrl-C goes to this process, which ends the server after the runs.
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
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


def _await_health(server: subprocess.Popen[bytes], address: str, home: Path) -> None:
    deadline_s = time.monotonic() + _SERVER_WITHIN_S
    while time.monotonic() < deadline_s and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/api/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise ServerFailed(f"the Prefect server did not come up; {home / 'server.log'} says why")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _simulator(settings: SnapshotSettings) -> Iterator[str]:
    """The simulated exchange on a thread of its own; its REST address."""
    ready: list[str] = []
    up, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with simulated_exchange(settings.snapshot_dir, settings.snapshot_symbols) as url:
            ready.append(url)
            up.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    up.wait(30)
    if not ready:
        raise ServerFailed("the simulated exchange did not start")
    try:
        yield ready[0]
    finally:
        done.set()
        thread.join(10)
