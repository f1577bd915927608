"""Who reads the store at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest

from api.configured import is_configured
from api.history import UNCONFIGURED, History
from api.problems import Problem
from tests.unit.api.api_parts import FakeReader

OURS = {"exchange": "binance", "symbol": "BTCUSDC"}
NOT_OURS = {"exchange": "binance", "symbol": "NOPE"}
CONFIGURED = frozenset([("binance", "BTCUSDC")])


@pytest.mark.parametrize(
    ("tags", "ours"),
    [
        (OURS, True),
        ({"symbol": "BTCUSDC"}, True),
        ({"exchange": "kraken"}, True),  # of many
        ({}, True),
        (NOT_OURS, False),
        ({"symbol": "NOPE"}, False),
        ({"exchange": "kraken", "symbol": "BTCUSDC"}, False),
    ],
)
def test_a_request_is_of_a_configured_instrument_or_of_many_or_not(
    tags: Mapping[str, str], ours: bool
) -> None:
    assert is_configured(tags, CONFIGURED) is ours


def test_a_flood_for_unknown_symbols_neither_refuses_nor_delays_the_others() -> None:
    held = threading.Event()
    reads = threading.Semaphore(0)

    async def hold(history: History, tags: Mapping[str, str]) -> None:
        async with history.reading(tags) as reading:
            await reading.run(lambda _reader: held.wait(10))

    async def read(history: History) -> None:
        async with history.reading(OURS) as reading:
            await reading.run(lambda _reader: reads.release())

    async def scene() -> None:
        history = History(lambda: FakeReader({}), CONFIGURED)
        flood = [asyncio.ensure_future(hold(history, NOT_OURS)) for _ in range(100)]
        await asyncio.sleep(0)
        refused = [task.exception() for task in flood if task.done()]
        assert len(refused) == 100 - UNCONFIGURED
        assert all(isinstance(each, Problem) and each.status == 503 for each in refused)
        for _ in range(10):
            await asyncio.wait_for(read(history), 10)
        held.set()
        await asyncio.gather(*flood, return_exceptions=True)
        async with AsyncExitStack() as places:
            taken: list[Any] = [await places.enter_async_context(history.reading(OURS)) for _ in range(16)]
            assert len(taken) == 16
        history.close()

    asyncio.run(scene())
