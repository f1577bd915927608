"""Every effect of the cores is carried out; one that nobody carries out is an error."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from producers.connection import Connection
from producers.effects import Distrust, FetchSnapshot, LedgerEvent, Reject
from producers.exchanges.coinbase.exchange import COINBASE
from producers.exchanges.port import Plan
from producers.exchanges.stream_events import BookUpdate
from producers.instrument import Instrument
from shared.dead_letters import origin_of
from shared.errors import ExchangeUnavailable
from shared.messages import encode
from tests.builders import NOW_MS, depth, trade
from tests.unit.producers.shell import Shell
from tests.unit.producers.sockets import Socket
from tests.virtual_time import run_virtually


def test_an_effect_that_nobody_carries_out_is_an_error() -> None:
    shell = Shell()
    with pytest.raises(TypeError, match="no LedgerEvent may get here"):
        shell.runner.run(shell.instrument, [LedgerEvent("lost", 1, 2)])


def test_what_cannot_be_true_goes_to_the_dead_letters_and_its_stream_is_distrusted() -> None:
    shell, lie = Shell(), trade(trade_id=2**40)
    shell.runner.run(
        shell.instrument,
        [Reject("BTCUSDC", "trades", "no such id", lie), Distrust("BTCUSDC", "trade", "no such id")],
    )
    (letter,) = shell.broker.letters
    assert letter.value == encode(lie)
    assert origin_of(letter.headers).source == "websocket:trades"
    assert shell.distrusted == [("BTCUSDC", "trade", "no such id")]


class Silent:
    """An exchange that does not answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def depth(self, symbol: str, _clock: Any) -> Any:
        self.asked.append(symbol)
        raise ExchangeUnavailable("GET /api/v3/depth: no answer")


def test_a_runner_asks_rest_as_it_was_made() -> None:
    async def play() -> None:
        rest = Silent()
        shell = Shell(rest)
        shell.runner.run(shell.instrument, [FetchSnapshot("BTCUSDC", 0.0)])
        await shell.runner.repairs.finish(1.0)
        shell.runner.repairs.check()
        assert rest.asked == ["BTCUSDC"]

    asyncio.run(play())


def test_a_book_is_subscribed_again_only_while_its_snapshot_is_awaited() -> None:
    """Of two jumps before one snapshot the second must not end the subscription that the first has begun."""

    async def play() -> tuple[int, bool]:
        shell = Shell()
        book = Instrument(
            "coinbase", "BTCUSDC", (), book_interval_ms=0, warmup_bars=0, promises=COINBASE.promises
        )
        plan = Plan("ws://host", "ws://host", (), renewals={"BTCUSDC": (b"off", b"on")})
        socket = Socket()
        connection = Connection(cast(Any, socket), plan, lambda *_: (), 3_600.0)
        book.follow(connection, NOW_MS)
        for jump in range(2):
            shell.runner.run(book, book.distrust_book(f"jump {jump}", connection, NOW_MS))
            await asyncio.sleep(0.1)
        sent = len(socket.sent)
        sides = {"bids": [["99.0", "1.0"]], "asks": [["101.0", "1.0"]]}
        update = BookUpdate(depth(kind="snapshot", **sides), NOW_MS * 1_000)
        shell.runner.run(book, book.receive_book(update, connection))
        await asyncio.sleep(60.0)
        return len(socket.sent) - sent, book.synced

    assert run_virtually(play()) == (0, True)
