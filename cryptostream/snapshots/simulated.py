"""The simulated exchange of `--source simulator`: the same market at every run of one directory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import orjson

from simulator.server.app import Simulator, SimulatorOptions
from simulator.world.exchange import WorldExchange

_FILE: Final = "simulator.json"
_SEED: Final = 1


@asynccontextmanager
async def simulated_exchange(directory: Path, symbols: Sequence[str]) -> AsyncIterator[str]:
    """An exchange on localhost while it is needed; gives its REST address."""
    now_ms = time.time_ns() // 1_000_000
    start_ms = _start_ms(directory, now_ms)
    world = WorldExchange(symbols, _SEED, start_ms, 1.0, clock_start_ms=max(start_ms, now_ms))
    simulator = Simulator(world, SimulatorOptions())
    await simulator.start()
    try:
        yield f"http://127.0.0.1:{simulator.port}"
    finally:
        await simulator.stop()


def _start_ms(directory: Path, now_ms: int) -> int:
    """When this directory's world began; it begins now if there is none."""
    file = directory / _FILE
    if file.exists():
        return int(orjson.loads(file.read_bytes())["start_ms"])
    directory.mkdir(parents=True, exist_ok=True)
    file.write_bytes(orjson.dumps({"seed": _SEED, "start_ms": now_ms}))
    return now_ms
