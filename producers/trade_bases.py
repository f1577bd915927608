"""Asks REST after which trade each series begins: the newest one issued when it was first listened to.

Without it a series would begin with the first trade heard, and what was issued between the first subscription
and that would be expected by nobody.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from producers.backoff import Backoff
from producers.clock import Clock
from producers.exchanges.binance.rest import BinanceRest
from producers.instrument import Instrument
from producers.outlet import Outlet
from shared.errors import ExchangeRefused, ExchangeUnavailable, UnknownSymbol

_LOG = logging.getLogger(__name__)

# A connection takes about a second. The newest trade is asked for once it is open: what has been issued since
# comes by the stream, so nothing that is on its way looks like a hole.
_LOOK_S: Final = 0.05
_LOOKS: Final = 100
# An answer that comes later is no word on when we began; then the trades since then are looked at.
_AT_ONCE_S: Final = 3.0
_DAY_MS: Final = 86_400_000
_UNANSWERED: Final = (ExchangeUnavailable, ExchangeRefused, UnknownSymbol)


class TradeBases:
    """Asks once where REST answers at once, and again and again where it does not.

    Args:
        begun_ms: when these symbols were listened to for the first time, by the exchange's clock, where that
            was an earlier process.
    """

    def __init__(
        self,
        rest: BinanceRest,
        outlet: Outlet,
        clock: Clock,
        instruments: Mapping[str, Instrument],
        begun_ms: Mapping[str, int],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sleep = sleep
        self._rest = rest
        self._outlet = outlet
        self._clock = clock
        self._instruments = instruments
        self._begun_ms = begun_ms

    async def find(self, opened: Callable[[], bool]) -> None:
        """Tell every instrument; ends when all know.

        Args:
            opened: whether the streams are read.
        """
        began_ms = self._clock.exchange_ms()
        for _ in range(_LOOKS):
            if opened():
                break
            await self._sleep(_LOOK_S)
        asked_s = time.monotonic()
        newest = await self._newest(tuple(self._instruments)) or {}
        at_once = time.monotonic() - asked_s < _AT_ONCE_S
        latest_ms = await self._rest.latest_ms() if newest else 0
        for symbol, base in newest.items():
            instrument = self._instruments[symbol]
            if not instrument.awaits_trade_base or (at_once and symbol not in self._begun_ms):
                await self._tell(instrument, base, latest_ms)
        backoff = Backoff(random.random, first_s=2.0)
        while awaiting := [each for each in self._instruments.values() if each.awaits_trade_base]:
            known = await self._newest(tuple(each.symbol for each in awaiting))
            for instrument in awaiting:
                symbol = instrument.symbol
                if known is not None and symbol not in known:
                    continue  # never traded: the first one is still to come
                since_ms = self._begun_ms.get(symbol, began_ms)
                first = await self._before(symbol, since_ms)
                if first is not None:
                    await self._tell(instrument, first, since_ms)
            await self._sleep(backoff.failed())

    async def _tell(self, instrument: Instrument, base: int, latest_ms: int) -> None:
        await self._outlet.publisher.room()
        awaited = instrument.awaits_trade_base
        effects = instrument.listen_after(base, self._clock.message_ms(), latest_ms)
        if awaited:
            self._outlet.note_trade_base(instrument, base)
        self._outlet.perform(instrument, effects)

    async def _newest(self, symbols: tuple[str, ...]) -> dict[str, int] | None:
        """Id of the newest trade of each symbol that has one; None if REST does not answer now."""
        try:
            return await self._rest.newest_trade_ids(symbols)
        except _UNANSWERED as error:
            _LOG.warning("the newest trades are not known: %s; trades are asked for again", error)
            return None

    async def _before(self, symbol: str, begun_ms: int) -> int | None:
        """The trade before the first one since then; None if REST does not say, or has none yet.

        That aggTrades have none since then may only mean that they trail; then the newest trade's time
        decides.
        """
        try:
            first = await self._rest.first_trade(symbol, begun_ms, self._clock.exchange_ms() + _DAY_MS)
            if first is not None:
                return first - 1
            newest = await self._rest.newest_trade(symbol, self._clock.message_ms())
        except _UNANSWERED as error:
            _LOG.warning("%s: it is not known where its trades begin: %s", symbol, error)
            return None
        return newest["trade_id"] if newest is not None and newest["trade_time_ms"] < begun_ms else None
