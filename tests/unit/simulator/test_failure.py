"""A market that stops is told to whoever runs the simulator."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NoReturn

from simulator.recordings.files import open_recordings
from simulator.recordings.player import Player
from simulator.server.app import Simulator, SimulatorOptions

FEED = Path(__file__).resolve().parents[2] / "feeds" / "quotes-only.jsonl"


class Broken(Player):
    """Plays until a frame that it cannot play."""

    def next_frames(self, count: int, wanted: frozenset[str]) -> NoReturn:
        raise ArithmeticError("a frame that nobody foresaw")


async def body() -> list[BaseException]:
    told: list[BaseException] = []
    failed = asyncio.Event()

    def on_failure(error: BaseException) -> None:
        told.append(error)
        failed.set()

    simulator = Simulator(Broken(open_recordings([FEED])), SimulatorOptions(speed=0), on_failure=on_failure)
    await simulator.start()
    try:
        simulator._hub.listened_to.set()
        await asyncio.wait_for(failed.wait(), 10)
    finally:
        await simulator.stop()
    return told


def test_a_market_that_stops_is_no_exchange_any_more() -> None:
    (error,) = asyncio.run(body())
    assert str(error) == "a frame that nobody foresaw"
