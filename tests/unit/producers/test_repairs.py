"""Repairs while Kafka takes nothing: the answer of one request waits, and no further one is asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

import producers.repairs
from producers.built_bars import BarEvent, BuiltBars
from producers.clock import Clock
from producers.effects import (
    AskNewestTrades,
    Effect,
    FillKlines,
    FillTrades,
    ProbeStreams,
    ProveTrades,
    Publish,
    ReadTrades,
)
from producers.instrument import Instrument
from producers.repairs import Repairs, Request
from producers.start_positions import StartPosition
from shared.errors import ExchangeUnavailable, ExchangeUnreadable
from shared.trade_ids import number, number_of
from tests.builders import NOW_MS, kline, trade


class Rest:
    """Has every trade; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def trades(self, _symbol: str, first: int, last: int, _now_ms: Any) -> tuple[list[Any], int]:
        self.asked += 1
        return [trade(trade_id=trade_id, source="backfill") for trade_id in range(first, last + 1)], 0


class Shell:
    """Takes what the cores publish; has room only when told so."""

    def __init__(self, rest: Any, clock: Clock | None = None) -> None:
        self.repairs = Repairs(rest, clock or Clock(), room=self.room, run=self.run)
        self.has_room = asyncio.Event()
        self.published: list[int] = []

    async def room(self) -> None:
        await self.has_room.wait()

    def run(self, instrument: Instrument, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if type(effect) is Publish:
                self.published.append(effect.message["trade_id"])
            else:
                self.repairs.start(instrument, effect)  # type: ignore[arg-type]


def test_a_long_hole_is_not_fetched_while_there_is_no_room() -> None:
    async def play() -> None:
        rest = Rest()
        shell = Shell(rest)
        instrument = Instrument("binance", "BTCUSDC", (), book_interval_ms=1_000, warmup_bars=0)
        instrument.receive("trade", trade(trade_id=1))
        fills = [e for e in instrument.receive("trade", trade(trade_id=5_002)) if isinstance(e, FillTrades)]
        shell.run(instrument, fills)
        for _ in range(100):
            await asyncio.sleep(0)
        assert rest.asked == 1
        assert shell.published == []
        shell.has_room.set()
        async with asyncio.timeout(10):
            while len(shell.published) < 5_000:  # noqa: ASYNC110 -- many tasks, none of which is known here
                await asyncio.sleep(0.01)
        assert sorted(shell.published) == list(range(2, 5_002))
        await shell.repairs.finish(1.0)

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
        shell = Shell(UnreadableRest(junk))
        shell.has_room.set()
        answers: list[tuple[str, Any]] = []

        class Told:
            symbol = "BTCUSDC"

            def receive_kline_rows(
                self, interval: str, _first: int, _last: int, rows: Any, _now: int, **_times: float
            ) -> list[Any]:
                answers.append((interval, rows))
                return []

        repairs: Any = shell.repairs
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


def answered(rest: Any, request: Request) -> tuple[str, Any, dict[str, Any]]:
    """What the instrument is told in answer to the request."""

    async def play() -> tuple[str, Any, dict[str, Any]]:
        shell, instrument = Shell(rest), Answers()
        shell.has_room.set()
        repairs: Any = shell.repairs
        repairs.start(instrument, request)
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


class FarAhead:
    """An exchange whose clock is three minutes ahead of what its producer believes."""

    now_ms = NOW_MS + 180_000

    def has_spare(self, _request: str) -> bool:
        return True

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
        shell = Shell(FarAhead(), Believing())
        shell.has_room.set()
        instrument.receive("trade", trade(trade_id=1))
        for second in range(60):
            shell.run(instrument, instrument.watch(float(second), NOW_MS + second * 1_000, NOW_MS))
            for _ in range(5):
                await asyncio.sleep(0)
        await shell.repairs.finish(1.0)
        assert shell.published == list(range(2, 10))

    class Believing(Clock):
        def exchange_ms(self) -> int:
            return NOW_MS

    asyncio.run(play())
    assert instrument.missing_trades == 0
    # The stream goes on where REST has ended: that is no trade of before.
    following = trade(trade_id=10, trade_time_ms=FarAhead.now_ms - 5)
    assert any(isinstance(effect, Publish) for effect in instrument.receive("trade", following))


def test_trades_are_looked_at_with_a_time_that_they_are_not_later_than() -> None:
    _, (looked, *_), _ = answered(FarAhead(), ProbeStreams(trades=True, book=False, since_ms=None))
    assert (looked.newest_trade, looked.latest_ms) == (9, FarAhead.now_ms)


MINUTE_MS = 60_000
BEGIN_MS = NOW_MS - NOW_MS % MINUTE_MS


class Interrupted:
    """Has a trade a second, numbered from 1 at `BEGIN_MS`; the first answer breaks off after two pages.

    Meanwhile it has so many more that there are too many since `BEGIN_MS`.
    """

    def __init__(self) -> None:
        self.newest = 40
        self.answers = 0

    async def newest_trade_id(self, _symbol: str) -> int:
        return self.newest

    async def first_trade(self, _symbol: str, begin_ms: int, _end_ms: int) -> int:
        return (begin_ms - BEGIN_MS) // 1_000 + 1

    async def trades_from(self, _symbol: str, begin_ms: int, _received_ms: Any) -> AsyncIterator[list[Any]]:
        self.answers += 1
        first = max(0, await self.first_trade("", begin_ms, 0) - 1)
        for page in range(first, self.newest + 1, 10):
            if self.answers == 1 and page == first + 20:
                self.newest = 59
                raise ExchangeUnavailable("Trades: Rate limit exceeded")
            yield [
                trade(trade_id=each, trade_time_ms=BEGIN_MS + each * 1_000 - 1_000)
                for each in range(page, min(page + 10, self.newest + 1))
            ]


class Built:
    """Stands for an instrument: what its bars say to a page, and how often a reading has ended."""

    symbol = "BTCUSDC"

    def __init__(self, bars: BuiltBars) -> None:
        self.bars, self.events, self.ends = bars, list[BarEvent](), 0

    def receive_history(self, begin_ms: int, rows: Any, _now_ms: int) -> list[Effect]:
        self.events += self.bars.receive_history(begin_ms, rows)
        self.ends += not rows
        return []


def test_trades_that_an_interrupted_reading_leaves_out_are_read_and_are_in_their_bar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(producers.repairs, "_FIRST_S", 0.001)
    bars = BuiltBars("binance", "BTCUSDC", ["1m"])
    position = StartPosition(BEGIN_MS - MINUTE_MS)
    bars.begin({"binance:BTCUSDC:klines:1m": position}, BEGIN_MS + 40_000, warm=True)
    built = Built(bars)

    async def read(repairs: Any, begins_ms: tuple[int, ...]) -> None:
        ends = built.ends
        repairs.start(built, ReadTrades("BTCUSDC", begins_ms, 50))
        async with asyncio.timeout(10):
            while built.ends == ends:  # noqa: ASYNC110 -- the task is the repairs' own
                await asyncio.sleep(0.001)
        repairs.check()

    async def play() -> None:
        shell = Shell(Interrupted())
        shell.has_room.set()
        await read(shell.repairs, (BEGIN_MS, BEGIN_MS + 35_000))
        built.events += bars.receive(trade(trade_id=60, trade_time_ms=BEGIN_MS + MINUTE_MS))
        ((_, again),) = bars.tick(None, BEGIN_MS + MINUTE_MS, lambda *_: False)
        assert isinstance(again, ReadTrades)
        await read(shell.repairs, again.begins_ms)

    asyncio.run(play())
    ((_, effect),) = built.events
    assert isinstance(effect, Publish)
    assert (effect.message["open_time_ms"], effect.message["trade_count"]) == (BEGIN_MS, 59)


class Steady:
    """Has had a trade a second until `NOW_MS`; notes since when it was read, and how often it was asked."""

    def __init__(self) -> None:
        self.read_from: list[int] = []
        self.asked = 0
        self.asked_newest = 0
        self.cut = False  # the first reading

    async def newest_trade_id(self, _symbol: str) -> int:
        self.asked_newest += 1
        return NOW_MS // 1_000

    async def first_trade(self, _symbol: str, begin_ms: int, _end_ms: int) -> int:
        self.asked += 1
        return -(-begin_ms // 1_000)

    async def trades_from(self, _symbol: str, begin_ms: int, _received_ms: Any) -> AsyncIterator[list[Any]]:
        self.read_from.append(begin_ms)
        if self.cut and len(self.read_from) == 1:
            raise ExchangeUnavailable("Trades: Rate limit exceeded")
        yield []


async def read_of(rest: Steady, asked: ReadTrades) -> None:
    built, shell = Built(BuiltBars("binance", "BTCUSDC", ["1m"])), Shell(rest)
    shell.has_room.set()
    shell.repairs.start(built, asked)  # type: ignore[arg-type]
    async with asyncio.timeout(10):
        while not built.ends:  # noqa: ASYNC110 -- the task is the repairs' own
            await asyncio.sleep(0.001)
    shell.repairs.check()


@pytest.mark.parametrize("spans_s", [(), (60,), (600, 60), (21_600, 3_600, 600, 60)])
@pytest.mark.parametrize("most", [0, 59, 60, 61, 600, 601, 3_601, 21_600, 21_601, 50_000])
@pytest.mark.parametrize("likely", [0, 1])
def test_trades_are_read_from_the_first_time_since_which_there_are_not_too_many(
    spans_s: tuple[int, ...], most: int, likely: int
) -> None:
    rest, begins_ms = Steady(), tuple(NOW_MS - span_s * 1_000 for span_s in (*spans_s, 5))
    asyncio.run(read_of(rest, ReadTrades("BTCUSDC", begins_ms, most, likely)))
    fit = [at for at in begins_ms[:-1] if NOW_MS // 1_000 - -(-at // 1_000) < most]
    assert rest.read_from == [fit[0] if fit else begins_ms[-1]]
    assert rest.asked <= len(spans_s) and rest.asked <= 3, "of an exchange that grants one in two seconds"


@pytest.mark.parametrize(("a_second", "answers"), [(0.1, 2), (1, 2), (2, 2), (10, 3)])
def test_two_answers_tell_how_much_of_a_steady_market_is_read_at_a_first_start(
    a_second: float, answers: int
) -> None:
    class Paced(Steady):
        async def first_trade(self, _symbol: str, begin_ms: int, _end_ms: int) -> int:
            self.asked += 1
            return round(1_000_000 - (now_ms - begin_ms) / 1_000 * a_second)

    now_ms = time.time_ns() // 1_000_000
    (asked,) = BuiltBars("kraken", "BTC/USD", ["1m"]).begin({}, now_ms, warm=True)
    assert isinstance(asked, ReadTrades)
    rest = Paced()
    asyncio.run(read_of(rest, asked._replace(newest=1_000_000)))
    assert rest.read_from == [
        next(at for at in asked.begins_ms if (now_ms - at) / 1_000 * a_second < asked.most)
    ]
    assert (rest.asked, rest.asked_newest) == (answers, 0)


def test_a_newest_trade_that_is_told_counts_only_until_an_outage() -> None:
    rest, begins_ms = Steady(), (NOW_MS - 600_000, NOW_MS - 5_000)
    rest.cut = True
    # The trades since are told to be few; after the outage they are too many.
    told = ReadTrades("BTCUSDC", begins_ms, 60, newest=NOW_MS // 1_000 - 590)
    asyncio.run(read_of(rest, told))
    assert rest.read_from == list(begins_ms) and rest.asked_newest == 1
