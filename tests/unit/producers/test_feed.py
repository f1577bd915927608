"""A feed between a scripted server and a list: connections replaced, cut and refused, unseen from outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any, cast

import orjson
import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from producers import rollover
from producers.clock import Clock
from producers.effect_runner import EffectRunner
from producers.effects import Effect, Publish
from producers.exchanges.binance.exchange import BINANCE
from producers.exchanges.binance.streams import streams_of
from producers.exchanges.lane_port import Lane, Take, Taken
from producers.exchanges.port import Liveness
from producers.feed import Feed
from producers.instrument import Instrument
from producers.stream_health import Uncarried
from shared.metrics import ServiceMetrics
from shared.topics import TRADES
from tests.builders import plan
from tests.virtual_time import run_with_clock

SYMBOL = "BTCUSDC"


class Exchange:
    """Sends each trade on all of its connections, but to each of them only what it is told to."""

    def __init__(self) -> None:
        self.connections: list[ServerConnection] = []
        self.attempts = 0
        self.refusing = False  # with an answer
        self.cutting = False  # as soon as they are open
        self.muting = False  # the connections to come
        self.mute: set[ServerConnection] = set()
        self._trade_id = 0
        self._server: Server | None = None

    async def start(self) -> str:
        self._server = await serve(
            self._accept, "127.0.0.1", 0, process_request=self._answer, close_timeout=0.2
        )
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def _answer(self, connection: ServerConnection, _request: Request) -> Response | None:
        self.attempts += 1
        return connection.respond(503, "") if self.refusing else None

    async def _accept(self, connection: ServerConnection) -> None:
        if self.cutting:
            connection.transport.abort()
            return
        self.connections.append(connection)
        if self.muting:
            self.mute.add(connection)
        with suppress(ConnectionClosed):
            await connection.wait_closed()
        self.connections.remove(connection)

    async def trade(self) -> int:
        self._trade_id += 1
        event = {"e": "trade", "E": 1, "s": SYMBOL, "t": self._trade_id, "T": 1, "p": "1.0", "q": "1.0"}
        await self.send(
            "trade", {**event, "m": False}, to=[c for c in self.connections if c not in self.mute]
        )
        return self._trade_id

    async def send(self, stream: str, event: Any, to: Iterable[ServerConnection] | None = None) -> None:
        text = orjson.dumps({"stream": f"{SYMBOL.lower()}@{stream}", "data": event}).decode()
        for connection in list(self.connections if to is None else to):
            with suppress(ConnectionClosed):
                await connection.send(text)

    async def announce_shutdown(self) -> None:
        await self.send("x", {"e": "serverShutdown", "E": 1}, to=self.connections[:1])


class Published:
    """The effect runner of a feed; has room when told so."""

    def __init__(self) -> None:
        self.publisher: Any = self
        self.rejections: Any = self
        self.waiting: list[str] = []
        self.held_back = self.waiting, self.waiting
        self.has_room = asyncio.Event()
        self.trade_ids: list[int] = []
        self.others: list[Effect] = []
        self.rejected: list[str] = []

    def reject(self, _source: str, _symbol: str, reason: str, _value: bytes) -> None:
        self.rejected.append(reason)

    def run(self, _instrument: Instrument, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if type(effect) is Publish and effect.topic == TRADES:
                self.trade_ids.append(effect.message["trade_id"])
            else:
                self.others.append(effect)

    def short_way(self, _instrument: Instrument, lane: Lane) -> Take:
        def pass_on(frame: bytes, at: int, now_ms: int, latest_ms: int) -> Taken | None:
            taken = lane.take(frame, at, now_ms, latest_ms)
            if taken is not None:
                assert lane.topic == TRADES
                self.trade_ids.append(orjson.loads(taken[0] or b"")["trade_id"])
            return taken

        return pass_on

    async def room(self) -> None:
        await self.has_room.wait()


class Stage:
    """A running feed with an exchange that trades without end."""

    def __init__(
        self, exchange: Exchange, runner: Published, feed: Feed, instrument: Instrument, clock: Clock
    ) -> None:
        self.exchange = exchange
        self.clock = clock
        self.runner = runner
        self.feed = feed
        self.instrument = instrument

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 -- many conditions, none of which is announced
                await asyncio.sleep(0.01)

    async def until_carried(self, more: int = 50) -> None:
        wanted = len(self.runner.trade_ids) + more
        await self.until(lambda: len(self.runner.trade_ids) >= wanted)

    def assert_seamless(self) -> None:
        ids = self.runner.trade_ids
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        assert self.runner.others == []
        kinds = {event.message["kind"] for event in self.instrument.tick()}
        assert kinds == {"expected"}


@asynccontextmanager
async def stage(**options: Any) -> Any:
    exchange, runner, clock, instruments = Exchange(), Published(), Clock(), {}
    make = options.pop("instrument", Instrument)
    instruments[SYMBOL] = make("binance", SYMBOL, (), book_interval_ms=1_000, warmup_bars=0)
    trades = [stream for stream in streams_of(SYMBOL, ()) if stream.kind == "trade"]
    feed = Feed(
        plan(await exchange.start(), options.pop("streams", trades), **options.pop("plan", {})),
        BINANCE,
        instruments=instruments,
        runner=cast(EffectRunner, runner),
        metrics=ServiceMetrics("test"),
        clock=clock,
        **options,
    )

    async def trade_on() -> None:
        while True:
            await exchange.trade()
            await asyncio.sleep(0.002)

    async def check() -> None:
        while True:
            feed.check()
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(work) for work in (feed.run(), trade_on(), check())]
    try:
        yield Stage(exchange, runner, feed, instruments[SYMBOL], clock)
        await feed.stop()
        await asyncio.wait_for(tasks[0], 10)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await exchange.stop()


@pytest.fixture(autouse=True)
def _without_spacing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.feed._BETWEEN_OPENINGS_S", 0.0)


def test_an_announced_end_is_not_seen_outside() -> None:
    async def play() -> None:
        async with stage() as running:
            for number in range(1, 4):
                await running.until_carried()
                await running.exchange.announce_shutdown()
                await running.until(lambda number=number: running.feed.rollovers == number)
                await running.until(lambda: len(running.exchange.connections) == 1)
            await running.until_carried()
            running.assert_seamless()
            assert running.feed.reconnects == 0

    run_with_clock(play())


def test_a_connection_is_replaced_before_it_is_too_old() -> None:
    async def play() -> None:
        async with stage(connection_age_s=0.5) as running:
            await running.until(lambda: running.feed.rollovers >= 2)
            running.assert_seamless()
            assert running.feed.reconnects == 0

    run_with_clock(play())


def test_a_stop_while_a_connection_is_replaced_leaves_books_as_they_are() -> None:
    told: list[bool] = []

    class Told(Instrument):
        def ended(self, connection: object, now_ms: int, *, cut: bool) -> list[Effect]:
            told.append(cut)
            return super().ended(connection, now_ms, cut=cut)

    async def play() -> None:
        async with stage(instrument=Told) as running:
            await running.until_carried()
            running.exchange.muting = True
            await running.exchange.announce_shutdown()
            await running.until(lambda: len(running.exchange.connections) == 2)
            await running.until_carried()
        assert running.feed.rollovers == 0
        # Of a streamed book it would say that the other connection's, which has ended too, differs.
        assert told == []

    run_with_clock(play())


def test_an_announced_end_without_any_notice_costs_no_reconnect() -> None:
    async def play() -> None:
        async with stage() as running:
            await running.until_carried()
            old = running.exchange.connections[0]
            await running.exchange.announce_shutdown()
            await old.close()
            await running.until(lambda: running.feed.rollovers == 1)
            await running.until_carried()
            assert running.feed.reconnects == 0
            ids = running.runner.trade_ids
            assert ids == sorted(set(ids))

    run_with_clock(play())


@pytest.mark.parametrize("fault", ["refusing", "cutting"])
def test_a_next_connection_that_cannot_be_had_leaves_the_old_one_as_it_is(fault: str) -> None:
    async def play() -> None:
        async with stage() as running:
            await running.until_carried()
            setattr(running.exchange, fault, True)
            await running.exchange.announce_shutdown()
            await running.until(lambda: running.exchange.attempts >= 3)
            assert running.feed.rollovers == 0
            setattr(running.exchange, fault, False)
            await running.until(lambda: running.feed.rollovers == 1)
            await running.until_carried()
            running.assert_seamless()
            assert running.feed.reconnects == 0

    run_with_clock(play())


def test_what_the_next_connection_has_brought_goes_on_when_the_old_one_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("producers.overlap.GRACE_S", 1e9)

    async def play() -> None:
        async with stage() as running:
            await running.until_carried()
            exchange = running.exchange
            await exchange.announce_shutdown()
            old = exchange.connections[0]
            exchange.mute.add(old)
            await running.until(lambda: len(exchange.connections) == 2)
            first = await exchange.trade()
            carried = len(running.runner.trade_ids)
            await old.close()
            await running.until(lambda: running.feed.rollovers == 1)
            await running.until_carried()
            ids = running.runner.trade_ids[carried:]
            assert first in ids
            assert ids == list(range(ids[0], ids[0] + len(ids)))
            assert running.feed.reconnects == 0

    run_with_clock(play())


class Told(Instrument):
    """Keeps whether each connection that has ended was the one that carried the streams."""

    cuts: list[bool]

    def ended(self, connection: object, now_ms: int, *, cut: bool) -> list[Effect]:
        self.cuts = [*getattr(self, "cuts", []), cut]
        return super().ended(connection, now_ms, cut=cut)


@pytest.mark.parametrize("cut", [False, True])
def test_trades_are_interrupted_if_the_old_connection_ends_before_the_next_has_taken_over(
    monkeypatch: pytest.MonkeyPatch,
    cut: bool,
) -> None:
    monkeypatch.setattr("producers.overlap.GRACE_S", 1e9)

    async def play() -> None:
        async with stage(instrument=Told) as running:
            await running.until_carried()
            old = running.exchange.connections[0]
            await running.exchange.announce_shutdown()
            if cut:
                await old.close()
            await running.until(lambda: running.feed.rollovers == 1)
            assert running.instrument.cuts == [cut]

    run_with_clock(play())


def test_a_next_connection_that_is_mute_does_not_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollover, "_PATIENCE_S", 0.5)

    async def play() -> None:
        async with stage() as running:
            await running.until_carried()
            exchange = running.exchange
            exchange.muting = True
            await exchange.announce_shutdown()
            await running.until(lambda: len(exchange.connections) == 2)
            muted = exchange.connections[1]
            exchange.muting = False
            await running.until(lambda: muted not in exchange.connections)
            await running.until(lambda: running.feed.rollovers == 1)
            await running.until_carried()
            running.assert_seamless()

    run_with_clock(play())


def test_a_silent_connection_is_replaced_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.watchdog.SUSPECT_SILENCE_S", 0.3)
    monkeypatch.setattr("producers.overlap.GRACE_S", 1e9)

    async def play() -> None:
        async with stage(plan={"liveness": Liveness(quiet_s=0.5)}) as running:
            await running.until_carried()
            running.exchange.mute.add(running.exchange.connections[0])
            await running.until(lambda: running.feed.rollovers == 1)
            await running.until_carried()
            assert running.feed.reconnects == 0
            ids = running.runner.trade_ids
            assert ids == sorted(set(ids))

    run_with_clock(play())


def test_a_cut_without_a_next_connection_gives_the_books_up_and_connects_again() -> None:
    async def play() -> None:
        async with stage() as running:
            await running.until_carried()
            await running.exchange.connections[0].close()
            await running.until(lambda: running.feed.reconnects == 1)
            await running.until_carried()
            assert running.feed.rollovers == 0

    run_with_clock(play())


@pytest.mark.parametrize("rolling", [False, True])
def test_suspended_it_has_no_connection_until_it_is_resumed(rolling: bool) -> None:
    async def play() -> None:
        async with stage() as running:
            await running.until_carried()
            exchange, runner = running.exchange, running.runner
            if rolling:
                exchange.refusing = True
                await exchange.announce_shutdown()
                await running.until(lambda: exchange.attempts >= 2)
                exchange.refusing = False
            runner.waiting.append("a record")
            running.feed.suspend("Kafka takes no records")
            await running.until(lambda: not exchange.connections)
            opened, carried = exchange.attempts, len(runner.trade_ids)
            await exchange.trade()
            await asyncio.sleep(0.6)
            assert (exchange.attempts, len(runner.trade_ids)) == (opened, carried)
            runner.waiting.clear()
            runner.has_room.set()
            running.feed.resume()
            await running.until_carried()
            ids = runner.trade_ids
            assert ids == sorted(set(ids))
            assert running.feed.reconnects == 0

    run_with_clock(play())


@pytest.mark.parametrize("suspended", [False, True])
def test_it_stops_while_it_waits(suspended: bool) -> None:
    async def play() -> None:
        async with stage() as running:
            await running.until_carried()
            if suspended:
                running.feed.suspend("Kafka takes no records")
                await running.until(lambda: not running.exchange.connections)
            else:
                running.exchange.refusing = True
                await running.exchange.announce_shutdown()
                await running.until(lambda: running.exchange.attempts >= 2)

    run_with_clock(play())


def test_a_stream_that_says_again_and_again_what_cannot_be_is_carried_by_another_connection() -> None:
    async def play() -> None:
        async with stage() as running:
            await running.until_carried()
            event = {"e": "trade", "E": 1, "s": SYMBOL, "T": 1, "p": "1.0", "q": "1.0", "m": False}
            for number in range(1, 4):
                await running.until_carried(5)
                assert running.feed.rollovers == 0
                await running.exchange.send("trade", event | {"t": 2**53 + number})
            await running.until(lambda: running.feed.rollovers == 1)
            # The next one lies as well: it is borne with, the other streams are not to suffer from it.
            for number in range(1, 8):
                await running.exchange.send("trade", event | {"t": 2**53 + number})
            await running.until_carried()
            assert running.feed.rollovers == 1
            ids = running.runner.trade_ids
            assert ids == list(range(ids[0], ids[0] + len(ids)))
            assert len(running.runner.rejected) == 10

    run_with_clock(play())


def test_a_core_that_finds_a_lie_can_have_another_connection_too() -> None:
    async def play() -> None:
        async with stage() as running:
            await running.until_carried()
            running.feed.distrust("OTHER", "trade", "not carried here")
            running.feed.distrust(SYMBOL, "kline", "not carried here")
            await running.until_carried()
            assert running.feed.rollovers == 0
            running.feed.distrust(SYMBOL, "trade", "an id contradicts the ids before")
            await running.until(lambda: running.feed.rollovers == 1)

    run_with_clock(play())


def test_a_time_ahead_is_judged_by_asking_the_exchange_for_its_clock() -> None:
    async def play() -> None:
        async with stage() as running:
            await running.until_carried()
            asked = 0

            async def ask() -> None:
                nonlocal asked
                asked += 1
                running.clock.receive(running.clock.steady_ms(), 50_000)

            # As after a sleep of the machine, or with an exchange that is faster than time.
            running.clock.receive(running.clock.steady_ms(), 1_000)
            running.clock.ask = ask
            event = {"e": "trade", "s": SYMBOL, "p": "1.0", "q": "1.0", "m": False}
            first = running.runner.trade_ids[-1] + 10_000_000
            await running.exchange.send("trade", event | {"t": first, "E": 40_000, "T": 40_000})
            await running.until(lambda: asked == 1)
            await running.exchange.send("trade", event | {"t": first, "E": 400_000, "T": 40_000})
            await running.until(lambda: len(running.runner.rejected) == 1)
            assert "event_time_ms" in running.runner.rejected[0]

    run_with_clock(play())


class Refused(Instrument):
    """One of whose streams none is ever brought, by the exchange's word."""

    @property
    def uncarried(self) -> list[Uncarried]:
        return [Uncarried(("depth", None), 0, "REST knows more")]


def test_a_stream_that_no_connection_brings_is_sought_more_and_more_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("producers.watchdog.CHANCE_S", 0.1)
    monkeypatch.setattr("producers.watchdog.SUSPECT_SILENCE_S", 0.1)
    monkeypatch.setattr("producers.overlap.GRACE_S", 0.1)
    monkeypatch.setattr("producers.feed._REPLACE_AGAIN_S", 0.4)

    async def play() -> None:
        streams = [stream for stream in streams_of(SYMBOL, ()) if stream.kind in ("trade", "depth")]
        async with stage(streams=streams, instrument=Refused) as running:
            taken_over_s = []
            for count in (1, 2, 3):
                await running.until(lambda count=count: running.feed.rollovers >= count)
                taken_over_s.append(time.monotonic())
            # Twice 0.4 s after the first was begun comes the second, four times as long after that the third.
            waits_s = [after - before for before, after in pairwise(taken_over_s)]
            assert 0.7 <= waits_s[0] <= 1.0 and 1.5 <= waits_s[1] <= 1.8
            await running.until_carried()
            running.assert_seamless()
            assert running.feed.reconnects == 0

    run_with_clock(play())


def test_why_there_is_no_connection_is_told() -> None:
    async def play() -> None:
        async with stage() as running:
            assert running.feed.trouble == ""
            running.exchange.refusing = True
            await running.until(lambda: running.exchange.attempts >= 2 or bool(running.exchange.connections))
            for connection in running.exchange.connections:
                await connection.close()
            await running.until(lambda: "503" in running.feed.trouble)
            running.exchange.refusing = False
            await running.until_carried()
            assert running.feed.trouble == ""

    run_with_clock(play())


def test_a_frame_that_is_too_long_leaves_a_letter_and_the_next_connection_goes_on() -> None:
    async def play() -> None:
        async with stage() as running:
            await running.until_carried()
            await running.exchange.send("trade", {"e": "trade", "x": "9" * 1_000_000})
            await running.until(lambda: running.feed.reconnects == 1)
            await running.until_carried()
            assert running.runner.rejected == ["connection closed: a frame of more than 900,000 bytes came"]

    run_with_clock(play())
