"""Asks REST for the trade base of each series: the newest trade issued before the first subscription.

Without it a series would begin with the first trade received, and trades issued between the subscription and
that one would not be expected.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from producers.clock import Clock
from producers.effect_runner import EffectRunner
from producers.exchanges.rest_port import Rest
from producers.instrument import Instrument
from shared.backoff import Backoff
from shared.errors import ExchangeRefused, ExchangeUnavailable, UnknownSymbol

_LOG = logging.getLogger(__name__)

# A connection takes about a second. The newest trade is asked for once it is open: later ones come over the
# stream, so none on its way looks like a hole.
_LOOK_S: Final = 0.05
_LOOKS: Final = 100
# A later answer says nothing about the subscription; then REST is asked for the first trade since.
_AT_ONCE_S: Final = 3.0
_DAY_MS: Final = 86_400_000
_UNANSWERED: Final = (ExchangeUnavailable, ExchangeRefused, UnknownSymbol)


class TradeBases:
    """Asks REST once, and retries until it answers.

    Args:
        begun_ms: by symbol, first subscription of an earlier process, by the exchange's clock.
        asked: called once, when all newest trades have been asked for, with the ids that REST has said.
    """

    def __init__(
        self,
        rest: Rest,
        runner: EffectRunner,
        clock: Clock,
        instruments: Mapping[str, Instrument],
        begun_ms: Mapping[str, int],
        *,
        asked: Callable[[Mapping[str, int]], None] = lambda _newest: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._asked = asked
        self._sleep = sleep
        self._rest = rest
        self._runner = runner
        self._clock = clock
        self._instruments = instruments
        self._begun_ms = begun_ms

    async def find(self, opened: Callable[[], bool]) -> None:
        """Give every instrument its base; ends when all have it.

        Args:
            opened: whether the streams are read.
        """
        began_ms = self._clock.exchange_ms()
        for _ in range(_LOOKS):
            if opened():
                break
            await self._sleep(_LOOK_S)
        asked_s = time.monotonic()
        known = await self._newest(tuple(self._instruments))
        at_once = time.monotonic() - asked_s < _AT_ONCE_S
        self._asked(known or {})
        latest_ms = await self._rest.latest_ms() if known else 0
        for symbol, base in (known or {}).items():
            instrument = self._instruments[symbol]
            if not instrument.awaits_trade_base or (at_once and symbol not in self._begun_ms):
                await self._begin_after(instrument, base, latest_ms)
        backoff, just_asked = Backoff(random.random, first_s=2.0), True
        while awaiting := [each for each in self._instruments.values() if each.awaits_trade_base]:
            if not just_asked:
                known = await self._newest(tuple(each.symbol for each in awaiting))
            just_asked = False
            for instrument in awaiting:
                symbol = instrument.symbol
                if known is not None and symbol not in known:
                    continue  # never traded: the first one is still to come
                since_ms = self._begun_ms.get(symbol, began_ms)
                first = await self._before(symbol, since_ms)
                if first is not None:
                    await self._begin_after(instrument, first, since_ms)
            await self._sleep(backoff.failed())

    async def _begin_after(self, instrument: Instrument, base: int, latest_ms: int) -> None:
        await self._runner.publisher.room()
        awaited = instrument.awaits_trade_base
        effects = instrument.listen_after(base, self._clock.message_ms(), latest_ms)
        if awaited:
            self._runner.progress.note_trade_base(instrument, base)
        self._runner.run(instrument, effects)

    async def _newest(self, symbols: tuple[str, ...]) -> dict[str, int] | None:
        """Id of the newest trade of each symbol that has one; None if REST does not answer now."""
        try:
            return await self._rest.newest_trade_ids(symbols)
        except _UNANSWERED as error:
            _LOG.warning("the newest trades are unknown: %s; retrying", error)
            return None

    async def _before(self, symbol: str, begun_ms: int) -> int | None:
        """The trade before the first one since `begun_ms`; None if REST does not say, or has none yet.

        If aggTrades have none, which may only trail, the newest trade's time decides.
        """
        try:
            first = await self._rest.first_trade(symbol, begun_ms, self._clock.exchange_ms() + _DAY_MS)
            if first is not None:
                return first - 1
            newest = await self._rest.newest_trade(symbol, self._clock.message_ms())
        except _UNANSWERED as error:
            _LOG.warning("%s: the trade base is not known yet: %s", symbol, error)
            return None
        return newest["trade_id"] if newest is not None and newest["trade_time_ms"] < begun_ms else None
