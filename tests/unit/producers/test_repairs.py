"""Repairs while Kafka takes nothing: the answer of one request waits, and no further one is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

import producers.repairs
from producers.clock import Clock
from producers.effects import (
    AskNewestTrades,
    Distrust,
    Effect,
    FillKlines,
    FillTrades,
    LookAt,
    ProveTrades,
    Publish,
    Reject,
)
from producers.exchanges.binance.weight_budget import WeightBudget
from producers.instrument import Instrument
from producers.repairs import Repairs
from shared.errors import ExchangeUnavailable, ExchangeUnreadable
from shared.messages import encode
from shared.trade_ids import number, number_of
from tests.builders import NOW_MS, kline, trade


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
                self, interval: str, _first: int, _last: int, rows: Any, _now: int, **_times: float
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


class Anew:
    """An exchange whose ids have begun anew; asked for ids it gives those of the new numbering."""

    def __init__(self, *, answers: bool = True) -> None:
        self.answers = answers
        self.asked: list[tuple[Any, ...]] = []

    async def newest_trades(self, _symbol: str, limit: int, _now_ms: int) -> list[Any]:
        self.asked.append(("newest", limit))
        if not self.answers:
            raise ExchangeUnavailable("GET /api/v3/trades: no answer")
        return [trade(trade_id=7, trade_time_ms=NOW_MS + 60_000, source="backfill")]

    async def trades(self, _symbol: str, first: int, last: int, _now_ms: int) -> tuple[list[Any], int]:
        self.asked.append((first, last))
        return [trade(trade_id=trade_id, source="backfill") for trade_id in range(first, last + 1)], 2

    async def issued_trades(self, _symbol: str, _begin_ms: int, _end_ms: int) -> tuple[Any, Any]:
        return [(3, 4)], [(5, 6)]


class Answers:
    """Stands for an instrument: notes what it is told."""

    symbol = "BTCUSDC"

    def __init__(self) -> None:
        self.told: list[tuple[str, Any, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def told(*arguments: Any, **named: Any) -> list[Effect]:
            self.told.append((name, arguments, named))
            return []

        return told


def answered(rest: Any, effect: Effect, **options: Any) -> tuple[str, Any, dict[str, Any]]:
    """What the instrument is told when the effect is carried out."""

    async def play() -> tuple[str, Any, dict[str, Any]]:
        outlet, instrument = Outlet(), Answers()
        outlet.has_room.set()
        repairs: Any = Repairs(rest, outlet, Clock(), **options)  # type: ignore[arg-type]
        repairs.start(instrument, effect)
        async with asyncio.timeout(10):
            while not instrument.told:  # noqa: ASYNC110 -- the task is the repairs' own
                await asyncio.sleep(0.001)
        repairs.check()
        return instrument.told[0]

    return asyncio.run(play())


def test_ids_are_asked_for_as_the_exchange_counts_and_come_back_in_their_numbering() -> None:
    rest = Anew()
    name, (first, last, rows, _), named = answered(rest, FillTrades("BTCUSDC", number(1, 5), number(1, 6)))
    assert (name, first, last) == ("receive_trade_rows", number(1, 5), number(1, 6))
    assert rest.asked == [(5, 6)]
    assert [number_of(row) for row in rows] == [number(1, 5), number(1, 6)]
    assert named["oldest_available"] == number(1, 2)


def test_what_agg_trades_prove_comes_back_in_the_numbering_too() -> None:
    asked = ProveTrades("BTCUSDC", number(1, 3), number(1, 6), NOW_MS, NOW_MS)
    _, (_, issued, never, _), _ = answered(Anew(), asked)
    assert (list(issued), list(never)) == ([(number(1, 3), number(1, 4))], [(number(1, 5), number(1, 6))])


@pytest.mark.parametrize("answers", [True, False])
def test_the_newest_trades_are_asked_for_once_and_none_is_an_answer_as_well(answers: bool) -> None:
    rest = Anew(answers=answers)
    name, (rows, _), _ = answered(rest, AskNewestTrades("BTCUSDC", 0.0))
    assert name == "receive_newest_trades"
    assert [row["trade_id"] for row in rows] == ([7] if answers else [])
    assert rest.asked == [("newest", 1_000)]


def test_what_cannot_be_true_goes_to_the_dead_letters_and_its_stream_is_distrusted() -> None:
    letters: list[tuple[str, str, str, bytes]] = []
    distrusted: list[tuple[str, str, str]] = []

    class Letters(Outlet):
        def reject(self, *letter: Any) -> None:
            letters.append(letter)  # type: ignore[arg-type]

    repairs: Any = Repairs(Anew(), Letters(), Clock(), lambda *named: distrusted.append(named))  # type: ignore[arg-type]
    lie = trade(trade_id=2**40)
    repairs.start(Answers(), Reject("BTCUSDC", "trades", "no such id", lie))
    repairs.start(Answers(), Distrust("BTCUSDC", "trade", "no such id"))
    assert letters == [("websocket:trades", "BTCUSDC", "no such id", encode(lie))]  # type: ignore[arg-type]
    assert distrusted == [("BTCUSDC", "trade", "no such id")]


class FarAhead:
    """An exchange whose clock is three minutes ahead of what its producer believes."""

    now_ms = NOW_MS + 180_000

    def __init__(self) -> None:
        self.budget = WeightBudget()

    async def newest_trade_id(self, _symbol: str) -> int:
        return 9

    async def latest_ms(self) -> int:
        return self.now_ms

    async def depth(self, *_: Any) -> Any:
        raise ExchangeUnavailable("GET /api/v3/depth: no answer")

    async def trades(self, _symbol: str, first: int, last: int, _now_ms: int) -> tuple[list[Any], int]:
        rows = [
            trade(trade_id=trade_id, trade_time_ms=self.now_ms - 10 * (10 - trade_id), source="backfill")
            for trade_id in range(first, last + 1)
        ]
        return rows, 0


def test_what_a_silent_stream_has_not_brought_is_taken_however_old_our_idea_of_the_clock_is() -> None:
    instrument = Instrument("binance", "BTCUSDC", (), book_interval_ms=1_000, warmup_bars=0)

    async def play() -> None:
        outlet = Outlet()
        outlet.has_room.set()
        repairs: Any = Repairs(FarAhead(), outlet, Believing())  # type: ignore[arg-type]
        outlet.repairs = repairs
        instrument.receive("trade", trade(trade_id=1))
        for second in range(60):
            outlet.perform(instrument, instrument.watch(float(second), NOW_MS + second * 1_000, NOW_MS))
            for _ in range(5):
                await asyncio.sleep(0)
        await repairs.finish(1.0)
        assert outlet.published == list(range(2, 10))

    class Believing(Clock):
        def exchange_ms(self) -> int:
            return NOW_MS

    asyncio.run(play())
    assert instrument.missing_trades == 0
    # The stream goes on where REST has ended: that is no trade of before.
    following = trade(trade_id=10, trade_time_ms=FarAhead.now_ms - 5)
    assert any(isinstance(effect, Publish) for effect in instrument.receive("trade", following))


def test_trades_are_looked_at_with_a_time_that_they_are_not_later_than() -> None:
    _, (looked, *_), _ = answered(FarAhead(), LookAt(trades=True, book=False, since_ms=None))
    assert (looked.newest_trade, looked.latest_ms) == (9, FarAhead.now_ms)
