"""`cryptostream snapshots serve`: every slot of a schedule, on this machine, until it is stopped."""

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

from cryptostream.embedded.stop_request import StopRequest
from cryptostream.snapshots.open_server import ADVICE, answers_anybody
from cryptostream.snapshots.prefect_server import login_file, prefect_server
from cryptostream.snapshots.server_away import ServerAway
from cryptostream.snapshots.settings import settings_of
from cryptostream.snapshots.simulated import simulated_exchange
from pipelines.snapshots.login import take_login
from pipelines.snapshots.places import make_directory
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
    """Serve until SIGINT or SIGTERM: 0 then.

    A run on its way may end first, within 10 s; else it is cancelled, and the next one fills its slot.

    Raises:
        SettingsError: wrong settings.
        ServerFailed: no server of PREFECT_API_URL was named, and none could be started.
        ServerAway: the server that was named does not answer.
    """
    settings = settings_of(args)
    make_directory(settings)
    quiet()
    take_login()
    with StopRequest() as stop, ExitStack() as stack:
        if args.source == "simulator":
            # Runs are processes of their own: they find the exchange by their environment.
            os.environ["BINANCE_REST_URL"] = stack.enter_context(_simulator(settings))
        note = ""
        if not os.environ.get("PREFECT_API_URL"):
            home = settings.snapshot_dir / "prefect"
            os.environ["PREFECT_API_URL"] = stack.enter_context(prefect_server(home))
            note = f"; its login is in {login_file(home)}"
        elif answers_anybody(os.environ["PREFECT_API_URL"]):
            note = f"; warning: {ADVICE}"
        # From here on a stop is in order, that of the server and the exchange included.
        stop.begin()
        asyncio.run(_serve(settings, stop, note))
    return 0


async def _serve(settings: SnapshotSettings, stop: StopRequest, note: str) -> None:
    # After the environment is set.
    import httpx  # noqa: PLC0415
    from prefect.runner import Runner  # noqa: PLC0415
    from prefect.schedules import Cron  # noqa: PLC0415

    from pipelines.snapshots.flow import market_snapshot, parameters_of  # noqa: PLC0415

    address = os.environ["PREFECT_API_URL"]
    # Two runs at once would share one weight budget without knowing of each other.
    runner: Any = Runner(name="serve", limit=1, pause_on_shutdown=False)
    # What it would put in the place of our handler of SIGTERM never awaits its own stop (3.8.8).
    runner.handle_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        await runner.aadd_flow(
            market_snapshot,
            name="serve",
            schedules=[Cron(settings.snapshot_cron, timezone="UTC")],
            parameters=parameters_of(settings) | {"directory": str(settings.snapshot_dir.resolve())},
        )
    except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
        raise ServerAway(address, error) from None
    # A run is a process of this one's group: what is blocked here is blocked there, and a terminal's Ctrl-C
    # does not end a run in its middle. What multiprocessing starts first unblocks it.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    serving = asyncio.create_task(runner.start())
    sys.stdout.write(
        f"every {settings.interval_ms // 60_000} min: {', '.join(settings.snapshot_symbols)}; "
        f"runs at {address.removesuffix('/api')}{note}; Ctrl-C ends it\n"
    )
    sys.stdout.flush()
    while not (stop.asked or signal.SIGINT in signal.sigpending() or serving.done()):
        await asyncio.wait({serving}, timeout=_LOOK_S)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    await _end(runner, serving)


async def _end(runner: Any, serving: asyncio.Task[None]) -> None:
    """Let the run on its way come to its end, if that is soon; what is left then is cancelled."""
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
        raise ExchangeFailed("the simulated exchange did not start")
    try:
        yield ready[0]
    finally:
        done.set()
        thread.join(10)
