"""The exchange's client: observations of symbols, and klines of passed slots."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from pipelines.snapshots.backfill import bars_for, rows_of_klines
from pipelines.snapshots.observation import BOOK_LEVELS, EXCHANGE, LAST_TRADES, SOURCE, Observation
from pipelines.snapshots.plan import batches
from pipelines.snapshots.rows import UNKNOWN_SYMBOL, SnapshotRow, missing
from pipelines.snapshots.slots import DAY_MS
from producers.exchanges.port import Addresses
from producers.exchanges.rest_port import PAGE
from shared.errors import ExchangeError, ExchangeUnavailable, ExchangeUnreadable, UnknownSymbol
from shared.intervals import INTERVAL_MS
from shared.messages import KlineMessage

Result = TypeVar("Result")

_APART_S: Final = 0.2
# Most waits of one request that the exchange asks for.
_PATIENCE: Final = 6
_SPARE_MS: Final = 10_000


class SlotOver(ExchangeError):
    """The request was not sent: its answer would belong to a later slot."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a symbol was not observed; `rejected` are answers that broke their contract."""

    symbol: str
    reason: str
    rejected: tuple[tuple[str, str, bytes], ...] = ()


class ExchangeClock:
    """The exchange's time: this machine's clock plus the measured offset."""

    def __init__(self, clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._clock_ms = clock_ms
        self._offset_ms = 0

    def now_ms(self) -> int:
        return self._clock_ms() + self._offset_ms

    def set_by(self, exchange_ms: int, asked_ms: int, answered_ms: int) -> None:
        """Set the offset by an answer, taken as of the middle of the request; times by `now_ms`."""
        self._offset_ms += exchange_ms - (asked_ms + answered_ms) // 2


class SnapshotExchange:
    """The exchange for snapshots: symbols start at least 0.2 s apart, under one weight budget."""

    def __init__(self, rest_url: str, share: float, clock: ExchangeClock) -> None:
        self.clock = clock
        addresses = Addresses(rest_url, "", rest_url)
        self.rest = SOURCE.rest(addresses, clock.now_ms, self._reject, share)
        self._rejected: defaultdict[str, list[tuple[str, str, bytes]]] = defaultdict(list)
        self._next_turn_s = 0.0

    async def set_clock(self) -> None:
        """Measure the offset to the exchange's clock.

        Raises:
            ExchangeError: no answer.
        """
        asked_ms = self.clock.now_ms()
        exchange_ms = await self.rest.time_ms()
        self.clock.set_by(exchange_ms, asked_ms, self.clock.now_ms())

    async def statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        """exchangeInfo's status of each symbol that is listed."""
        found: dict[str, str] = {}
        for batch in batches(symbols):
            found |= await self.rest.listed_statuses(batch)
        return {symbol: found[symbol] for symbol in symbols if symbol in found}

    async def observe(self, symbol: str, deadline_ms: int) -> Observation:
        """Ticker, book and last trades of a symbol, in direct succession.

        Raises:
            SlotOver: its turn came after the deadline.
            ExchangeError: one of the requests failed.
        """
        await self._turn()
        if self.clock.now_ms() >= deadline_ms:
            # The answer would break the rules, and take time from the next slot.
            raise SlotOver("the slot was over before its turn came")
        self._rejected.pop(symbol, None)
        ticker = await self.rest.day_ticker(symbol)
        book = await self.rest.depth(symbol, self.clock.now_ms, BOOK_LEVELS)
        trades = await self.rest.newest_trades(symbol, LAST_TRADES, self.clock.now_ms())
        if symbol in self._rejected:
            # One unreadable trade would silently leave fewer trades.
            raise ExchangeUnreadable(f"trades of {symbol}: {self._rejected[symbol][0][1]}")
        return Observation(symbol, ticker, book, trades, self.clock.now_ms())

    def failure(self, symbol: str, error: ExchangeError) -> Failure:
        reason = UNKNOWN_SYMBOL if isinstance(error, UnknownSymbol) else str(error)
        return Failure(symbol, reason, tuple(self._rejected.pop(symbol, ())))

    async def patiently(self, work: Callable[[], Awaitable[Result]], deadline_ms: int) -> Result:
        """Run `work`, and again after each Retry-After that ends before the deadline.

        The client has already retried other transient failures with backoff; only unreadable answers are
        retried here.

        Raises:
            ExchangeError: permanent, or not over before the deadline.
        """
        for attempt in range(_PATIENCE + 1):
            try:
                return await work()
            except ExchangeUnavailable as error:
                wait_s = (error.retry_after or 0.0) + random.random()
                late = self.clock.now_ms() + wait_s * 1000 > deadline_ms - _SPARE_MS
                again = error.retry_after is not None or isinstance(error, ExchangeUnreadable)
                if not again or late or attempt == _PATIENCE:
                    raise
                await asyncio.sleep(wait_s)
        raise AssertionError("the loop returns or raises")

    async def klines(self, symbol: str, interval: str, first_ms: int, end_ms: int) -> list[KlineMessage]:
        """All closed bars with open times from one to another (exclusive), ascending.

        Raises:
            ExchangeError: not all of them are available.
        """
        length = INTERVAL_MS[interval]
        found: list[KlineMessage] = []
        while first_ms < end_ms:
            last_ms = min(end_ms, first_ms + PAGE * length) - length
            self._rejected.pop(symbol, None)
            found += await self.rest.klines(symbol, interval, first_ms, last_ms, self.clock.now_ms())
            if symbol in self._rejected:
                # An unreadable bar must not be taken for a missing one.
                raise ExchangeUnreadable(f"klines of {symbol}: {self._rejected[symbol][0][1]}")
            first_ms = last_ms + length
        return found

    async def fill(
        self, symbol: str, slots: Sequence[int], reasons: Mapping[int, str], interval_ms: int
    ) -> list[SnapshotRow]:
        """Rows of passed slots, computed from klines.

        Raises:
            ExchangeError: the klines are not available now.
        """
        await self._turn()
        bars = bars_for(interval_ms)
        length = INTERVAL_MS[bars]
        first_ms = slots[0] - DAY_MS
        try:
            klines = await self.klines(symbol, bars, first_ms + -first_ms % length, slots[-1])
        except UnknownSymbol:
            now_ms = self.clock.now_ms()
            return [missing(EXCHANGE, symbol, slot, UNKNOWN_SYMBOL, "backfill", now_ms) for slot in slots]
        return rows_of_klines(symbol, slots, klines, reasons, self.clock.now_ms())

    async def _turn(self) -> None:
        """Wait until 0.2 s after the start of the previous symbol."""
        loop = asyncio.get_running_loop()
        begin_s = max(loop.time(), self._next_turn_s)
        self._next_turn_s = begin_s + _APART_S
        await asyncio.sleep(begin_s - loop.time())

    def _reject(self, source: str, symbol: str, reason: str, content: bytes) -> None:
        self._rejected[symbol].append((source, reason, content))


@asynccontextmanager
async def open_exchange(
    rest_url: str, share: float, clock: ExchangeClock | None = None
) -> AsyncIterator[SnapshotExchange]:
    """The exchange's client; closes its connections at the end."""
    exchange = SnapshotExchange(rest_url, share, clock or ExchangeClock())
    try:
        yield exchange
    finally:
        await exchange.rest.close()
