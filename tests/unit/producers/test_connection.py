"""Subscriptions of an open connection: acknowledged in time, renewed alone, no faster than is allowed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from producers import connection as connections
from producers.connection import Connection, open_connection, pacer_of
from producers.exchanges.coinbase.exchange import COINBASE
from producers.exchanges.frame_types import Stream
from producers.exchanges.port import Addresses, Liveness, Plan
from producers.frames import FrameConnection
from tests.unit.producers.sockets import Socket
from tests.virtual_time import run_virtually, run_with_clock

STREAMS = (Stream("A/B", "trade", None, "trade"), Stream("A/B", "depth", None, "book"))


def connection(socket: Any, within_s: float | None = 10.0) -> Connection:
    plan = Plan(
        "ws://host", "ws://host", STREAMS, liveness=Liveness(acknowledged_s=within_s),
        renewals={"A/B": (b"off", b"on")},
    )  # fmt: skip

    def parse(frame: bytes, now_ms: int, latest_ms: int = 0) -> Sequence[Any]:
        return ()

    return Connection(socket, plan, parse, 3_600.0)


def test_a_subscription_that_is_not_acknowledged_in_time_is_a_reason_to_replace_the_connection() -> None:
    opened = connection(Socket())
    late_s = opened.opened_s + 11.0
    opened.acknowledge("trade", "A/B")
    opened.acknowledge("book", "C/D")
    assert opened.unacknowledged(opened.opened_s + 9.0) is None
    assert opened.unacknowledged(late_s) == "the exchange does not acknowledge the subscription of A/B book"
    opened.acknowledge("book", "A/B")
    assert opened.unacknowledged(late_s) is None
    assert connection(Socket(), None).unacknowledged(late_s) is None


def test_a_book_is_asked_for_anew_after_a_delay() -> None:
    async def work() -> tuple[list[bytes], list[bytes]]:
        socket = Socket()
        connection(socket).renew("A/B", 4.0)
        await asyncio.sleep(3.9)
        before = list(socket.sent)
        await asyncio.sleep(0.2)
        return before, socket.sent

    assert run_virtually(work()) == ([], [b"off", b"on"])


def test_two_requests_for_a_book_that_wait_are_one_and_one_that_is_sent_is_another() -> None:
    async def work() -> tuple[list[bytes], list[bytes]]:
        socket = Socket()
        opened = connection(socket)
        opened.renew("A/B", 0.0)
        await asyncio.sleep(0.1)
        before = list(socket.sent)
        opened.renew("A/B", 1.0)
        opened.renew("A/B", 2.0)
        await asyncio.sleep(5.0)
        return before, socket.sent

    assert run_virtually(work()) == ([b"off", b"on"], [b"off", b"on", b"off", b"on"])


@pytest.mark.parametrize(("delays_s", "sent_s"), [((4.0,) * 9, 4.0), ((4.0, 0.5), 0.9)])
def test_a_request_for_a_book_is_not_put_off_by_others(delays_s: tuple[float, ...], sent_s: float) -> None:
    async def work() -> tuple[list[bytes], list[bytes]]:
        socket, clock = Socket(), asyncio.get_running_loop()
        opened, begun_s = connection(socket), clock.time()
        for delay_s in delays_s:
            opened.renew("A/B", delay_s)
            await asyncio.sleep(0.4)
        await asyncio.sleep(begun_s + sent_s - 0.01 - clock.time())
        before = list(socket.sent)
        await asyncio.sleep(0.02)
        return before, socket.sent

    assert run_virtually(work()) == ([], [b"off", b"on"])


def test_a_book_that_has_come_meanwhile_is_not_asked_for_anew() -> None:
    async def work() -> list[bytes]:
        socket = Socket()
        came: list[bool] = []
        connection(socket).renew("A/B", 2.0, lambda: not came)
        await asyncio.sleep(1.0)
        came.append(True)
        await asyncio.sleep(5.0)
        return socket.sent

    assert run_virtually(work()) == []


def test_on_a_connection_that_has_ended_nothing_is_asked_for() -> None:
    async def work() -> list[bytes]:
        dropped, closed = Socket(), Socket(closed=True)
        for socket in (dropped, closed):
            opened = connection(socket)
            opened.renew("A/B", 1.0)
            if socket is dropped:
                opened.drop()
        await asyncio.sleep(2.0)
        return dropped.sent + closed.sent

    assert run_virtually(work()) == []


# --- A bound of messages a second, as Coinbase has. ---

SYMBOLS = ("BTC-USD", "ETH-USD", "XRP-USD")


class Clocked(Socket):
    """Keeps when something is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent_s: list[float] = []

    async def send(self, frame: bytes, *, text: bool) -> None:
        await super().send(frame, text=text)
        self.sent_s.append(time.monotonic())


def renewed(plan: Plan) -> list[float]:
    """When the frames of all renewals are sent, in seconds after the connection was opened."""

    async def carried() -> list[float]:
        socket: Any = Clocked()
        opened = Connection(socket, plan, COINBASE.parser(plan), 60.0)
        for symbol in SYMBOLS:
            opened.renew(symbol, 0.0)
        await asyncio.gather(*opened._renewals)
        return [at_s - opened.opened_s for at_s in socket.sent_s]

    return run_with_clock(carried())


def test_books_are_asked_for_anew_no_faster_than_messages_may_be_sent() -> None:
    (plan,) = COINBASE.connections(Addresses("", "ws://host", ""), SYMBOLS, ())
    sent_s = renewed(plan)
    # With those that have opened it: never more than eight in a second.
    every_s = [0.0] * len(plan.opening) + sent_s
    assert all(sum(at_s <= each < at_s + 1.0 for each in every_s) <= 8 for at_s in every_s)
    assert sent_s[-1] >= 1.5


def test_without_a_bound_they_are_sent_at_once() -> None:
    (plan,) = COINBASE.connections(Addresses("", "ws://host", ""), SYMBOLS, ())
    assert renewed(replace(plan, messages_a_second=None))[-1] < 1.0


class Opened(FrameConnection):
    """Keeps when something is sent, in virtual seconds."""

    def __init__(self, sent_s: list[float]) -> None:
        self._sent_s = sent_s

    async def send(self, *_: Any, **__: Any) -> None:
        self._sent_s.append(asyncio.get_running_loop().time())


def test_connections_that_are_opened_together_share_the_pace_of_their_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (plan,) = COINBASE.connections(Addresses("", "ws://host", ""), SYMBOLS, ())

    async def opened() -> list[list[float]]:
        clock = SimpleNamespace(monotonic=asyncio.get_running_loop().time)
        monkeypatch.setattr(connections, "time", clock)
        sent_s: list[list[float]] = [[] for _ in range(4)]
        sockets = iter(sent_s)

        async def connect(*_: Any, **__: Any) -> Opened:
            await asyncio.sleep(0.05)
            return Opened(next(sockets))

        monkeypatch.setattr(connections, "_ConnectHere", connect)
        pacer = pacer_of(plan)
        await asyncio.gather(*(open_connection(plan, pacer) for _ in sent_s))
        return sent_s

    sent_s = run_virtually(opened())
    every_s = sorted(at_s for each in sent_s for at_s in each)
    assert [len(each) for each in sent_s] == [3, 3, 3, 3]
    assert max(sum(at_s <= each < at_s + 1.0 for each in every_s) for at_s in every_s) <= 5
    # The server drops a connection that has subscribed to nothing for 5 s.
    assert all(each[0] < 4 * 0.25 + 0.1 for each in sent_s)
