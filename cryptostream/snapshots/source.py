"""What the command line chose: settings, and the simulated exchange of `--source simulator`."""

from __future__ import annotations

import argparse
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import orjson

from pipelines.snapshots.observation import EXCHANGE
from pipelines.snapshots.settings import SnapshotSettings, load_snapshot_settings
from shared.edges import complain
from simulator.protocols.binance.exchange import WorldExchange
from simulator.server.app import Simulator, SimulatorOptions

# Simulated prices never mix with real ones (docs/decisions/data-directories.md).
_SIMULATED: Final = Path("data/simulator/snapshots")
_SEED: Final = 1


def settings_of(args: argparse.Namespace) -> SnapshotSettings:
    """The environment's settings, with those of the command line in their place.

    Raises:
        SettingsError: a wrong value.
    """
    directory = args.dir
    if directory is None and getattr(args, "source", "live") == "simulator":
        directory = _SIMULATED
    settings = load_snapshot_settings(
        snapshot_symbols=getattr(args, "symbols", None),
        snapshot_dir=directory,
        snapshot_landing=args.landing,
        snapshot_cron=getattr(args, "cron", None),
    )
    if settings.left_out:
        others = ", ".join(settings.left_out)
        complain(f"warning: SNAPSHOT_SYMBOLS: {others}: left out, snapshots are taken of {EXCHANGE} alone")
    return settings


@asynccontextmanager
async def simulated_exchange(settings: SnapshotSettings) -> AsyncIterator[str]:
    """Run an exchange on localhost; yields its REST address. Its market continues from run to run."""
    now_ms = time.time_ns() // 1_000_000
    start_ms = _start_ms(settings.snapshot_dir, now_ms)
    world = WorldExchange(settings.symbols, _SEED, start_ms, 1.0, clock_start_ms=max(start_ms, now_ms))
    simulator = Simulator(world, SimulatorOptions())
    await simulator.start()
    try:
        yield f"http://127.0.0.1:{simulator.port}"
    finally:
        await simulator.stop()


def _start_ms(directory: Path, now_ms: int) -> int:
    """When the market of this directory began: now if the directory is new."""
    file = directory / "simulator.json"
    if file.exists():
        return int(orjson.loads(file.read_bytes())["start_ms"])
    directory.mkdir(parents=True, exist_ok=True)
    file.write_bytes(orjson.dumps({"seed": _SEED, "start_ms": now_ms}))
    return now_ms
