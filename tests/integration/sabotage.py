"""The real services with one mechanism taken out: what they promise must then be broken.

`python -m tests.integration.sabotage MECHANISM producers|consumers ARGUMENT…`
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import consumers.__main__
import producers.__main__
from consumers.service import StreamConsumer
from producers.doubtful_trades import DoubtfulTrades
from producers.effects import Effect, LedgerEvent, Publish
from producers.exchanges.binance.rest import BinanceRest
from producers.silence_probe import SilenceProbe
from producers.trade_sequence import TradeSequence
from shared.messages import TradeMessage
from shared.topics import TRADES

MAINS = {"producers": producers.__main__.main, "consumers": consumers.__main__.main}
_NEVER = 2**62
_A_WRITE_S = 0.3


def no_repair() -> None:
    """REST is asked for no missing trade: it is taken to have none."""

    async def nothing(_rest: BinanceRest, *_asked: Any) -> tuple[list[TradeMessage], int]:
        return [], _NEVER

    BinanceRest.trades = nothing  # type: ignore[method-assign,assignment]


def no_dedupe() -> None:
    """A trade whose id was seen already is published once more."""
    original = TradeSequence.receive

    def receive(sequence: TradeSequence, trade: TradeMessage) -> list[Effect]:
        effects = original(sequence, trade)
        return [
            Publish(TRADES, trade)
            if isinstance(effect, LedgerEvent) and effect.kind == "duplicate"
            else effect
            for effect in effects
        ]

    TradeSequence.receive = receive  # type: ignore[method-assign,assignment]


def no_checkpoint() -> None:
    """Offsets are committed before the store has the points; a store takes its time."""
    original = StreamConsumer._begin

    def begin(consumer: StreamConsumer, enriched: Any, records: Any) -> None:
        if enriched.points:
            consumer._checkpoint.run(consumer._positions, consumer._now_ms(), everything=True)
            time.sleep(_A_WRITE_S)
        original(consumer, enriched, records)

    StreamConsumer._begin = begin  # type: ignore[method-assign,assignment]


def no_notice() -> None:
    """Nobody holds the streams to what other sources know."""

    def nothing(_probe: SilenceProbe, *_arguments: Any, **_named: Any) -> list[Effect]:
        return []

    SilenceProbe.tick = nothing  # type: ignore[method-assign,assignment]
    SilenceProbe.last_probe = nothing  # type: ignore[method-assign,assignment]


def no_numbering() -> None:
    """Ids that were given before are lies, whatever REST says."""

    def never(_doubtful: DoubtfulTrades, *_arguments: Any) -> bool:
        return False

    DoubtfulTrades._is_anew = never  # type: ignore[method-assign,assignment]


MECHANISMS: dict[str, Callable[[], None]] = {
    "repair": no_repair,
    "dedupe": no_dedupe,
    "checkpoint": no_checkpoint,
    "notice": no_notice,
    "numbering": no_numbering,
}


if __name__ == "__main__":
    MECHANISMS[sys.argv[1]]()
    sys.exit(MAINS[sys.argv[2]](sys.argv[3:]))
