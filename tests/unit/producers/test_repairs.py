"""Repairs while Kafka takes nothing: the answer of one request waits, and no further one is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from producers.clock import Clock
from producers.effects import Effect, FillTrades, Publish
from producers.instrument import Instrument
from producers.repairs import Repairs
from tests.builders import trade


class Rest:
    """Has every trade; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def trades(self, _symbol: str, first: int, last: int, _now_ms: Any) -> tuple[list[Any], int]:
        self.asked += 1
        return [trade(trade_id=trade_id, source="backfill") for trade_id in range(first, last + 1)], 0


class Outlet:
    """Takes what the cores publish; has room only when told so."""

    def __init__(self) -> None:
        self.publisher = self
        self.has_room = asyncio.Event()
        self.published: list[int] = []
        self.repairs: Repairs | None = None

    async def room(self) -> None:
        await self.has_room.wait()

    def perform(self, instrument: Instrument, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if type(effect) is Publish:
                self.published.append(effect.message["trade_id"])
            elif self.repairs is not None:
                self.repairs.start(instrument, effect)


def test_a_long_hole_is_not_fetched_while_there_is_no_room() -> None:
    async def play() -> None:
        rest, outlet = Rest(), Outlet()
        repairs: Any = Repairs(rest, outlet, Clock())  # type: ignore[arg-type]
        outlet.repairs = repairs
        instrument = Instrument("binance", "BTCUSDC", (), book_interval_ms=1_000, warmup_bars=0)
        instrument.receive("trade", trade(trade_id=1))
        fills = [e for e in instrument.receive("trade", trade(trade_id=5_002)) if isinstance(e, FillTrades)]
        outlet.perform(instrument, fills)
        for _ in range(100):
            await asyncio.sleep(0)
        assert rest.asked == 1
        assert outlet.published == []
        outlet.has_room.set()
        async with asyncio.timeout(10):
            while len(outlet.published) < 5_000:  # noqa: ASYNC110 -- many tasks, none of which is known here
                await asyncio.sleep(0.01)
        assert sorted(outlet.published) == list(range(2, 5_002))
        await repairs.finish(1.0)

    asyncio.run(play())
