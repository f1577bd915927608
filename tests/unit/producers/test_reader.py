"""The hot loop with a parser that gives several events a frame, or whose times lie ahead of the clock."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from websockets.exceptions import ConnectionClosedError

from producers.clock import Clock
from producers.connection import Connection
from producers.effects import Publish
from producers.exchanges.frame_types import Ignored, Parsed, Rejected, Stream, StreamMessage
from producers.exchanges.lane_port import NO_LANES, Lane, Lanes, Take, Taken
from producers.exchanges.port import Liveness
from producers.exchanges.stream_events import BooksBroken, SubscriptionRefused
from producers.instrument import Instrument
from producers.reader import FrameReader
from producers.watchdog import Watchdog
from shared.metrics import ServiceMetrics
from shared.topics import TRADES
from tests.builders import NOW_MS, plan, trade

AHEAD = Rejected("trades", "a time ahead", "trade_time_ms", ahead=True, symbol="BTCUSDC")


def event(trade_id: int) -> StreamMessage:
    return StreamMessage("trade", trade(trade_id=trade_id))


class Stand:
    """A connection with such frames, and a list in place of Kafka."""

    def __init__(
        self, parse: Callable[..., Sequence[Parsed]], frames: Sequence[bytes], lanes: Lanes = NO_LANES
    ) -> None:
        self.parse = parse
        self.frames = deque(frames)
        self.plan = plan()
        self.watchdog = Watchdog([], 0.0, Liveness())
        self.out_of_bounds: dict[str, int] = {}
        self.held_back: tuple[list[bytes], list[bytes]] = [], []
        self.publisher = self.rejections = self
        self.published: list[int] = []
        self.rejected: list[tuple[str, str]] = []
        self.clock = Clock()
        self.clock.ahead_ms = 0
        self.reader = FrameReader(
            {"BTCUSDC": Instrument("binance", "BTCUSDC", (), book_interval_ms=1_000, warmup_bars=0)},
            cast(Any, self),
            ServiceMetrics("test"),
            self.clock,
            announced=lambda _: None,
            distrusted=lambda *_: None,
            lanes=lanes,
        )

    def short_way(self, _instrument: Instrument, lane: Lane) -> Take:
        return lane.take

    async def more(self) -> None:
        raise ConnectionClosedError(None, None)

    def run(self, _instrument: Instrument, effects: Sequence[Any]) -> None:
        self.published += [each.message["trade_id"] for each in effects if type(each) is Publish]

    def reject(self, source: str, symbol: str, _reason: str, _value: bytes) -> None:
        self.rejected.append((source, symbol))

    async def read(self) -> None:
        await self.reader.read(cast(Connection, self))


def test_all_events_of_a_frame_are_taken_in_their_order() -> None:
    bad = Rejected("trades", "no price", symbol="BTCUSDC")
    stand = Stand(lambda *_: [event(1), bad, event(2), Ignored("x"), event(3)], [b"x"])
    asyncio.run(stand.read())
    assert stand.published == [1, 2, 3]
    assert stand.rejected == [("websocket:trades", "BTCUSDC")]
    assert (stand.reader.received, stand.reader.ignored) == (3, 1)


def _lanes(take: Take) -> Lanes:
    return Lanes(len('{"x":"'), {b'{"x":"a': Lane(Stream("BTCUSDC", "trade", None, "a"), TRADES, take)})


def test_a_lane_is_asked_for_frames_that_name_its_stream_and_the_others_are_parsed() -> None:
    asked: list[tuple[bytes, int]] = []

    def take(frame: bytes, at: int, _now_ms: int, _latest_ms: int) -> Taken | None:
        asked.append((frame, at))
        return (b"", NOW_MS, ()) if b"1" in frame else None

    frames = [b'{"x":"a",1}', b'{"x":"a",2}', b'{"x":"ab",1}', b"", b'{"x":"a']
    stand = Stand(lambda frame, *_: [Ignored(frame.decode())], frames, _lanes(take))
    asyncio.run(stand.read())
    assert asked == [(frames[0], 7), (frames[1], 7)]
    assert (stand.reader.received, stand.reader.ignored) == (1, 4)


def test_two_connections_that_are_merged_have_no_lanes() -> None:
    def take(*_: object) -> Taken | None:
        raise AssertionError("a merge needs the message")

    stand = Stand(lambda *_: [event(1)], [b'{"x":"a",1}'], _lanes(take))
    merged: list[StreamMessage] = []

    def merge(_stream: object, message: StreamMessage) -> list[StreamMessage]:
        merged.append(message)
        return []

    asyncio.run(stand.reader.read(cast(Connection, stand), merge))
    assert merged == [event(1)]


def doubts(monkeypatch: pytest.MonkeyPatch, *events: Any) -> list[str]:
    """In which order a frame's trades are taken, and trades are doubted."""
    order: list[str] = []
    monkeypatch.setattr(Instrument, "doubt_trades", lambda _: order.append("doubt"))
    receive = Instrument.receive

    def noted(instrument: Instrument, kind: str, message: Any) -> Any:
        order.append("trade")
        return receive(instrument, kind, message)

    monkeypatch.setattr(Instrument, "receive", noted)
    asyncio.run(Stand(lambda *_: events, [b"x"]).read())
    return order


def test_the_good_trades_of_a_frame_do_not_end_the_doubt_about_its_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = Rejected("trades", "no price", symbol="BTCUSDC")
    assert doubts(monkeypatch, bad, event(1), event(2)) == ["trade", "trade", "doubt"]


def test_a_lost_message_of_a_connection_may_have_had_trades(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doubts(monkeypatch, BooksBroken(None, "message 7 is missing"), event(1)) == ["doubt", "trade"]
    assert doubts(monkeypatch, BooksBroken("BTCUSDC", "a book cannot be read"), event(1)) == ["trade"]


@pytest.mark.parametrize("symbol", ["", "BTCUSDC"])
def test_a_refusal_that_names_no_symbol_concerns_all_books(
    monkeypatch: pytest.MonkeyPatch, symbol: str
) -> None:
    refused: list[str] = []

    def refuse(instrument: Instrument, reason: str, _connection: object, _now_ms: int) -> list[Any]:
        refused.append(f"{instrument.symbol}: {reason}")
        return []

    monkeypatch.setattr(Instrument, "refuse_book", refuse)
    asyncio.run(Stand(lambda *_: [SubscriptionRefused("", symbol, "no")], [b"x"]).read())
    assert refused == ["BTCUSDC: no"]


def test_a_frame_with_a_time_ahead_is_read_again_as_a_whole() -> None:
    asked: list[int] = []

    def parse(_frame: bytes, _now_ms: int, latest_ms: int) -> Sequence[Parsed]:
        asked.append(latest_ms)
        return [event(1), AHEAD if len(asked) < 3 else event(2)]

    stand = Stand(parse, [b"x"])
    asyncio.run(stand.read())
    assert stand.published == [1, 2] and stand.rejected == []
    assert len(asked) == 3


def test_a_frame_is_not_lost_if_its_reading_ends_while_the_clock_is_asked() -> None:
    async def play() -> None:
        asking = asyncio.Event()

        async def ask() -> None:
            asking.set()
            await asyncio.Event().wait()

        stand = Stand(lambda *_: [event(1), AHEAD], [b"first", b"second"])
        stand.clock.ask = ask
        reading = asyncio.create_task(stand.read())
        await asyncio.wait_for(asking.wait(), 10)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert list(stand.frames) == [b"first", b"second"]
        assert stand.published == []

    asyncio.run(play())
