"""Carries out what the cores ask of REST: snapshots, missing bars, missing trades."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from producers.backoff import Backoff
from producers.clock import Clock
from producers.effects import (
    AskNewestTrades,
    AuditBook,
    Distrust,
    Effect,
    FetchSnapshot,
    FillKlines,
    FillTrades,
    LookAt,
    Looked,
    ProveTrades,
    Reject,
)
from producers.exchanges.binance.rest import BinanceRest
from producers.exchanges.binance.weight_budget import AGGREGATES_WEIGHT, DEPTH_WEIGHT, SMALL_DEPTH_WEIGHT
from producers.instrument import Instrument
from producers.outlet import Outlet
from producers.trade_doubts import FULL_PAGE
from shared.errors import ExchangeRefused, ExchangeUnavailable, ExchangeUnreadable, UnknownSymbol
from shared.intervals import interval_ms
from shared.messages import DepthMessage, TradeMessage, encode
from shared.trade_ids import EPOCH_SPAN, in_numbering, split

_LOG = logging.getLogger(__name__)

_FIRST_S: Final = 1.0
_TOP_LEVELS: Final = 5
_DAY_MS: Final = 86_400_000
_UNREADABLE: Final = 5  # answers in which no row can be read


class Repairs:
    """One task per effect. The cores never have more than one per series in hand, so neither has this.

    Args:
        distrust: told the symbol, the kind of stream and the reason of `Distrust`.
    """

    def __init__(
        self,
        rest: BinanceRest,
        outlet: Outlet,
        clock: Clock,
        distrust: Callable[[str, str, str], None] = lambda _symbol, _kind, _reason: None,
    ) -> None:
        self._rest = rest
        self._outlet = outlet
        self._clock = clock
        self._distrust = distrust
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._failure: BaseException | None = None

    def start(self, instrument: Instrument, effect: Effect) -> None:
        """Begin what the effect asks for; its answer goes back to the instrument."""
        if type(effect) is Reject:
            self._outlet.reject(
                f"websocket:{effect.stream}", effect.symbol, effect.reason, encode(effect.message)
            )
            return
        if self._stopping:
            return
        match effect:
            case Distrust(symbol, kind, reason):
                self._distrust(symbol, kind, reason)
            case AskNewestTrades():
                self._spawn(self._ask_newest_trades(instrument, effect))
            case FetchSnapshot():
                self._spawn(self._fetch_snapshot(instrument, effect))
            case FillKlines():
                self._spawn(self._fill_klines(instrument, effect))
            case FillTrades():
                self._spawn(self._fill_trades(instrument, effect))
            case ProveTrades():
                self._spawn(self._prove_trades(instrument, effect))
            case AuditBook():
                self._spawn(self._audit_book(instrument))
            case LookAt():
                self._spawn(self._look_at(instrument, effect))

    async def finish(self, timeout_s: float) -> None:
        """Let what is in flight end within `timeout_s`; the rest is found again at the next start."""
        self._stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self) -> None:
        """Raise what a task has failed with: a mistake of ours, for all others are answers."""
        if self._failure is not None:
            raise self._failure

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and self._failure is None:
            self._failure = task.exception()

    async def _fetch_snapshot(self, instrument: Instrument, effect: FetchSnapshot) -> None:
        await asyncio.sleep(effect.delay_s)
        snapshot: DepthMessage | None = None
        try:
            snapshot = await self._rest.depth(instrument.symbol, self._clock.message_ms)
        except (ExchangeUnavailable, ExchangeRefused, UnknownSymbol) as error:
            _LOG.warning("%s: no snapshot of the order book: %s", instrument.symbol, error)
        await self._outlet.publisher.room()
        effects = instrument.receive_snapshot(snapshot, self._clock.message_ms())
        self._outlet.perform(instrument, effects)

    async def _fill_klines(self, instrument: Instrument, effect: FillKlines) -> None:
        # One bar more than is missing: where REST has that, it does not merely trail. And one that proves
        # that this one has ended, should the exchange's clock contradict itself.
        last = effect.last + 2 * interval_ms(effect.interval)

        async def ask() -> list[Any]:
            now_ms = self._clock.message_ms()
            return await self._rest.klines(effect.symbol, effect.interval, effect.first, last, now_ms)

        await asyncio.sleep(effect.delay_s)
        rows = await self._until_answered(instrument, ask, None)
        effects = instrument.receive_kline_rows(
            effect.interval,
            effect.first,
            effect.last,
            rows,
            self._clock.message_ms(),
            now_s=time.monotonic(),
            exchange_ms=self._clock.exchange_ms(),
        )
        self._outlet.perform(instrument, effects)

    async def _fill_trades(self, instrument: Instrument, effect: FillTrades) -> None:
        epoch, first = split(effect.first)
        base = effect.first - first

        async def ask() -> tuple[list[Any], int]:
            now_ms = self._clock.message_ms()
            return await self._rest.trades(effect.symbol, first, effect.last - base, now_ms)

        rows, oldest = await self._until_answered(instrument, ask, (None, 0))
        if rows is not None:
            rows, oldest = in_numbering(epoch, rows), oldest + base
        effects = instrument.receive_trade_rows(
            effect.first,
            effect.last,
            rows,
            self._clock.message_ms(),
            now_s=time.monotonic(),
            oldest_available=oldest,
        )
        self._outlet.perform(instrument, effects)

    async def _prove_trades(self, instrument: Instrument, effect: ProveTrades) -> None:
        async def ask() -> Any:
            return await self._rest.issued_trades(effect.symbol, effect.begin_ms, effect.end_ms)

        ranges = await self._until_answered(instrument, ask, ([], []))
        base = split(effect.first)[0] * EPOCH_SPAN
        issued, never = ([(first + base, last + base) for first, last in part] for part in ranges)
        effects = instrument.receive_trade_proof(
            effect, issued, never, self._clock.message_ms(), now_s=time.monotonic()
        )
        self._outlet.perform(instrument, effects)

    async def _ask_newest_trades(self, instrument: Instrument, effect: AskNewestTrades) -> None:
        await asyncio.sleep(effect.delay_s)
        rows: list[TradeMessage] = []
        try:
            rows = await self._rest.newest_trades(effect.symbol, FULL_PAGE, self._clock.message_ms())
        except (ExchangeUnavailable, ExchangeRefused, UnknownSymbol) as error:
            _LOG.warning("%s: cannot say what doubtful trades are: %s", instrument.symbol, error)
        await self._outlet.publisher.room()
        effects = instrument.receive_newest_trades(rows, self._clock.message_ms())
        self._outlet.perform(instrument, effects)

    async def _audit_book(self, instrument: Instrument) -> None:
        snapshot: DepthMessage | None = None
        if self._rest.budget.spare(DEPTH_WEIGHT, self._clock.exchange_ms()):
            try:
                snapshot = await self._rest.depth(instrument.symbol, self._clock.message_ms)
            except (ExchangeUnavailable, ExchangeRefused, UnknownSymbol) as error:
                _LOG.warning("%s: the order book cannot be audited now: %s", instrument.symbol, error)
        await self._outlet.publisher.room()
        effects = instrument.receive_audit_snapshot(snapshot, self._clock.message_ms())
        self._outlet.perform(instrument, effects)

    async def _look_at(self, instrument: Instrument, effect: LookAt) -> None:
        looked = Looked()
        try:
            if effect.trades and self._may_look(AGGREGATES_WEIGHT):
                looked = await self._look_at_trades(instrument.symbol, effect.since_ms)
            if effect.book and self._may_look(SMALL_DEPTH_WEIGHT):
                book = await self._rest.depth(instrument.symbol, self._clock.message_ms, _TOP_LEVELS)
                looked = looked._replace(update_id=book["final_update_id"], best=_best_of(book))
        except (ExchangeUnavailable, ExchangeRefused, UnknownSymbol) as error:
            _LOG.warning("%s: cannot look at what is silent: %s", instrument.symbol, error)
        instrument.receive_look(looked, time.monotonic(), self._clock.exchange_ms())

    async def _look_at_trades(self, symbol: str, since_ms: int | None) -> Looked:
        if since_ms is None:
            first, newest = None, await self._rest.newest_trade_id(symbol)
        else:
            issued, _ = await self._rest.issued_trades(symbol, since_ms, since_ms + _DAY_MS)
            first, newest = (issued[0][0], issued[-1][1]) if issued else (None, None)
        return Looked() if newest is None else Looked(first, newest, await self._rest.latest_ms())

    def _may_look(self, weight: int) -> bool:
        return self._rest.budget.spare(weight, self._clock.exchange_ms())

    async def _until_answered(self, instrument: Instrument, ask: Any, nothing: Any) -> Any:
        """Ask until the exchange answers; `nothing` if it refuses, or gives only what nobody can read.

        A series waits as long as it takes: nothing is given up because the exchange is down. A refusal may be
        for good or a moment's mistake, so the core asks again after other things have had their turn.
        """
        unreadable = 0
        backoff = Backoff(random.random, first_s=_FIRST_S)
        while True:
            try:
                answer = await ask()
                # The answer to it may be followed by the next request at once: one answer waits here at most.
                await self._outlet.publisher.room()
                return answer
            except ExchangeUnavailable as error:
                if not backoff.failures:
                    _LOG.warning("%s: cannot fill yet: %s", instrument.symbol, error)
                unreadable += isinstance(error, ExchangeUnreadable)
                if unreadable >= _UNREADABLE:
                    # A row that is wrong for good must not hold up all that comes after it.
                    _LOG.warning("%s: cannot fill: %s", instrument.symbol, error)
                    return nothing
                await asyncio.sleep(backoff.failed(error.retry_after or 0.0))
            except (ExchangeRefused, UnknownSymbol) as error:
                _LOG.warning("%s: cannot fill: %s", instrument.symbol, error)
                return nothing


def _best_of(book: DepthMessage) -> tuple[tuple[float, float], tuple[float, float]] | None:
    bids, asks = book["bids"], book["asks"]
    if not bids or not asks:
        return None
    return (float(bids[0][0]), float(bids[0][1])), (float(asks[0][0]), float(asks[0][1]))
