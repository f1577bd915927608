"""`cryptostream snapshots serve`: takes every slot of a schedule on this machine until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any, Final

from cryptostream.run.shutdown import StopRequest
from cryptostream.snapshots.prefect_server import (
    OPEN_SERVER,
    ServerUnavailable,
    answers_anybody,
    login_file,
    prefect_server,
)
from cryptostream.snapshots.source import settings_of, simulated_exchange
from pipelines.snapshots.destinations import make_directory
from pipelines.snapshots.login import take_login
from pipelines.snapshots.quiet import quiet
from pipelines.snapshots.settings import SnapshotSettings
from shared.errors import CryptoStreamError

_LOOK_S: Final = 0.2
# 4 s were measured for a run of three symbols; one of hundreds lasts minutes and is filled from klines.
_RUN_ENDS_WITHIN_S: Final = 10.0
# Prefect gives a run that it cancels 30 s.
_STOP_WITHIN_S: Final = 40.0


class ExchangeFailed(CryptoStreamError):
    """The simulated exchange did not start."""


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; exit code 0 then.

    A run in progress has 10 s to end; else it is cancelled, and the next one fills its slot.

    Raises:
        SettingsError: wrong settings.
        ServerFailed: PREFECT_API_URL names no server, and none could be started.
        ServerUnavailable: the server of PREFECT_API_URL does not answer.
    """
    settings = settings_of(args)
    make_directory(settings)
    quiet()
    take_login()
    with StopRequest() as stop, ExitStack() as stack:
        if args.source == "simulator":
            # Runs are separate processes, which take the exchange's address from their environment.
            os.environ["BINANCE_REST_URL"] = stack.enter_context(_simulator(settings))
        note = ""
        if not os.environ.get("PREFECT_API_URL"):
            home = settings.snapshot_dir / "prefect"
            os.environ["PREFECT_API_URL"] = stack.enter_context(prefect_server(home))
            note = f"; its login is in {login_file(home)}"
        elif answers_anybody(os.environ["PREFECT_API_URL"]):
            note = f"; warning: {OPEN_SERVER}"
        # From here on a stop is orderly, for the server and the exchange too.
        stop.begin()
        asyncio.run(_serve(settings, stop, note))
    return 0


async def _serve(settings: SnapshotSettings, stop: StopRequest, note: str) -> None:
    # After the environment is set.
    import httpx  # noqa: PLC0415
    from prefect.runner import Runner  # noqa: PLC0415
    from prefect.schedules import Cron  # noqa: PLC0415

    from cryptostream.snapshots.flow import market_snapshot  # noqa: PLC0415
    from pipelines.snapshots.flow import parameters_of  # noqa: PLC0415

    address = os.environ["PREFECT_API_URL"]
    # Two runs at once would each spend the whole weight budget.
    runner: Any = Runner(name="serve", limit=1, pause_on_shutdown=False)
    # Keep our SIGTERM handler: the runner's never awaits its own stop (3.8.8).
    runner.handle_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        await runner.aadd_flow(
            market_snapshot,
            name="serve",
            schedules=[Cron(settings.snapshot_cron, timezone="UTC")],
            parameters=parameters_of(settings) | {"directory": str(settings.snapshot_dir.resolve())},
        )
    except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
        raise ServerUnavailable(address, error) from None
    # A run is a process of this process's group and inherits the blocked SIGINT, so that a terminal's Ctrl-C
    # does not end a run midway. The resource tracker would unblock SIGINT, hence starts first.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    serving = asyncio.create_task(runner.start())
    sys.stdout.write(
        f"every {settings.interval_ms // 60_000} min: {', '.join(settings.symbols)}; "
        f"runs at {address.removesuffix('/api')}{note}; Ctrl-C ends it\n"
    )
    sys.stdout.flush()
    while not (stop.asked or signal.SIGINT in signal.sigpending() or serving.done()):
        await asyncio.wait({serving}, timeout=_LOOK_S)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    await _end(runner, serving)


async def _end(runner: Any, serving: asyncio.Task[None]) -> None:
    """Let a run in progress end within 10 s, else cancel it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_RUN_ENDS_WITHIN_S):
            while runner.started and runner._process_manager.flow_run_ids():
                await asyncio.wait({serving}, timeout=_LOOK_S)
    with suppress(TimeoutError):
        async with asyncio.timeout(_STOP_WITHIN_S):
            if runner.started:
                await runner.astop()
            elif not serving.done():
                serving.cancel()
            await asyncio.wait({serving})
    if serving.done() and not serving.cancelled():
        serving.result()


@contextmanager
def _simulator(settings: SnapshotSettings) -> Iterator[str]:
    """Run the simulated exchange on its own thread; yields its REST address."""
    ready: list[str] = []
    up, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with simulated_exchange(settings) as url:
            ready.append(url)
            up.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    up.wait(30)
    if not ready:
        raise ExchangeFailed("the simulated exchange did not start")
    try:
        yield ready[0]
    finally:
        done.set()
        thread.join(10)
