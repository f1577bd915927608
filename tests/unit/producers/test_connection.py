"""Subscriptions of an open connection: acknowledged in time, and renewed alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from websockets.exceptions import ConnectionClosedError

from producers.connection import Connection
from producers.exchanges.frame_types import Stream
from producers.exchanges.port import Liveness, Plan
from tests.virtual_time import run_virtually

STREAMS = (Stream("A/B", "trade", None, "trade"), Stream("A/B", "depth", None, "book"))


class Socket:
    """Keeps what is sent."""

    def __init__(self, *, closed: bool = False) -> None:
        self.sent: list[bytes] = []
        self.frames: Any = []
        self.transport = self
        self._closed = closed

    async def more(self) -> None:
        """Nothing comes."""

    async def send(self, frame: bytes, *, text: bool) -> None:
        assert text
        if self._closed:
            raise ConnectionClosedError(None, None)
        self.sent.append(frame)

    def abort(self) -> None:
        """Nothing is open."""


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
