"""Repairs while Kafka takes nothing: the answer of one request waits, and no further one is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

import producers.repairs
from producers.clock import Clock
from producers.effects import Effect, FillKlines, FillTrades, Publish
from producers.instrument import Instrument
from producers.repairs import Repairs
from shared.errors import ExchangeUnreadable
from tests.builders import kline, trade


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


class UnreadableRest:
    """Answers `junk` times with rows that nobody can read, then with the bars asked for."""

    def __init__(self, junk: int) -> None:
        self.junk = junk
        self.asked = 0

    async def klines(self, _symbol: str, interval: str, first: int, _last: int, _now_ms: int) -> list[Any]:
        self.asked += 1
        if self.asked <= self.junk:
            raise ExchangeUnreadable("klines: none of 3 rows can be read")
        return [kline(interval=interval, open_time_ms=first, close_time_ms=first + 59_999, source="backfill")]


@pytest.mark.parametrize(("junk", "published"), [(2, 1), (10**6, None)])
def test_rows_that_cannot_be_read_are_asked_for_again_and_then_count_as_no_answer(
    junk: int, published: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producers.repairs, "_FIRST_S", 0.001)

    async def play() -> None:
        rest, outlet = UnreadableRest(junk), Outlet()
        outlet.has_room.set()
        answers: list[tuple[str, Any]] = []

        class Told:
            symbol = "BTCUSDC"

            def receive_kline_rows(
                self, interval: str, _first: int, _last: int, rows: Any, _now: int, *, now_s: float
            ) -> list:
                answers.append((interval, rows))
                return []

        repairs: Any = Repairs(rest, outlet, Clock())  # type: ignore[arg-type]
        repairs.start(Told(), FillKlines("BTCUSDC", "1m", 0, 0, 0.0))
        async with asyncio.timeout(10):
            while not answers:  # noqa: ASYNC110 -- the task is the repairs' own
                await asyncio.sleep(0.005)
        assert [None if rows is None else len(rows) for _, rows in answers] == [published]

    asyncio.run(play())
