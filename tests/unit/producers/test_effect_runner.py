"""Every effect of the cores is carried out; one that nobody carries out is an error."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from producers.effects import Distrust, FetchSnapshot, LedgerEvent, Reject
from shared.dead_letters import origin_of
from shared.errors import ExchangeUnavailable
from shared.messages import encode
from tests.builders import trade
from tests.unit.producers.shell import Shell


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
