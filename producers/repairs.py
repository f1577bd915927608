"""Sends the cores' requests to REST: snapshots, missing bars, missing trades, probes."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar, assert_never

from producers.clock import Clock
from producers.doubtful_trades import FULL_PAGE
from producers.effects import (
    AskNewestTrades,
    AuditBook,
    Effect,
    FetchSnapshot,
    FillKlines,
    FillTrades,
    ProbeResult,
    ProbeStreams,
    ProveTrades,
    ReadTrades,
)
from producers.exchanges.rest_port import Rest
from producers.instrument import Instrument
from shared.backoff import Backoff
from shared.errors import ExchangeRefused, ExchangeUnavailable, ExchangeUnreadable, UnknownSymbol
from shared.intervals import interval_ms
from shared.messages import DepthMessage
from shared.trade_ids import EPOCH_SPAN, in_numbering, split

_LOG = logging.getLogger(__name__)

Answer = TypeVar("Answer")

# The effects that are requests to REST.
Request = (
    FetchSnapshot
    | FillKlines
    | FillTrades
    | ReadTrades
    | ProveTrades
    | AskNewestTrades
    | AuditBook
    | ProbeStreams
)

_FIRST_S: Final = 1.0
_TOP_LEVELS: Final = 5
_DAY_MS: Final = 86_400_000
_UNREADABLE: Final = 5  # answers in which no row can be read


class Repairs:
    """One task per request. The cores have at most one per series in flight.

    Args:
        room: waits until Kafka has room for an answer's records.
        run: runs the effects of an answer.
    """

    def __init__(
        self,
        rest: Rest,
        clock: Clock,
        *,
        room: Callable[[], Awaitable[None]],
        run: Callable[[Instrument, Sequence[Effect]], None],
    ) -> None:
        self._rest = rest
        self._clock = clock
        self._room = room
        self._run = run
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._failure: BaseException | None = None

    def start(self, instrument: Instrument, request: Request) -> None:
        """Start a request, whose answer goes to the instrument. Nothing starts after `finish`."""
        if self._stopping:
            return
        match request:
            case AskNewestTrades():
                self._spawn(self._ask_newest_trades(instrument, request))
            case FetchSnapshot():
                self._spawn(self._fetch_snapshot(instrument, request))
            case FillKlines():
                self._spawn(self._fill_klines(instrument, request))
            case FillTrades():
                self._spawn(self._fill_trades(instrument, request))
            case ReadTrades():
                self._spawn(self._read_trades(instrument, request))
            case ProveTrades():
                self._spawn(self._prove_trades(instrument, request))
            case AuditBook():
                self._spawn(self._audit_book(instrument))
            case ProbeStreams():
                self._spawn(self._probe_streams(instrument, request))
            case _:
                assert_never(request)

    async def finish(self, timeout_s: float) -> None:
        """Let requests in flight finish within `timeout_s`; the next start repeats the others."""
        self._stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self) -> None:
        """Raise the error of a failed task: a bug, since REST's errors count as answers."""
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
        ask = self._rest.depth(instrument.symbol, self._clock.message_ms)
        snapshot = await self._answer_or_none(instrument, ask, "no snapshot of the order book")
        self._run(instrument, instrument.receive_snapshot(snapshot, self._clock.message_ms()))

    async def _fill_klines(self, instrument: Instrument, effect: FillKlines) -> None:
        # Two bars more than are missing: if REST has the first, it does not merely trail; the second proves
        # that the first has ended, should the exchange's clock contradict itself.
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
        self._run(instrument, effects)

    async def _fill_trades(self, instrument: Instrument, effect: FillTrades) -> None:
        epoch, first = split(effect.first)
        base = effect.first - first

        async def ask() -> tuple[list[Any], int]:
            now_ms, last = self._clock.message_ms(), effect.last - base
            if effect.beside is None:
                return await self._rest.trades(effect.symbol, first, last, now_ms)
            return await self._rest.trades_beside(effect.symbol, first, last, now_ms, effect.beside), 0

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
        self._run(instrument, effects)

    async def _read_trades(self, instrument: Instrument, effect: ReadTrades) -> None:
        """Give the pages to the instrument; what an outage interrupts is read again from its begin."""
        newest = effect.newest

        async def ask() -> int:
            nonlocal newest
            # It is old after an outage: trades since may be too many.
            known, newest = newest, None
            begin_ms = await self._begin_of(effect, known)
            async for rows in self._rest.trades_from(effect.symbol, begin_ms, self._clock.message_ms):
                await self._room()
                self._run(instrument, instrument.receive_history(begin_ms, rows, self._clock.message_ms()))
            return begin_ms

        begin_ms = await self._until_answered(instrument, ask, None)
        rows = None if begin_ms is None else ()
        self._run(instrument, instrument.receive_history(begin_ms or 0, rows, self._clock.message_ms()))

    async def _begin_of(self, effect: ReadTrades, newest: int | None) -> int:
        """The first of the times since which there were not too many trades.

        The likely one is asked about first, then the earliest of the others if it serves at the pace of the
        last answer; else each answer halves them.

        Args:
            newest: id of the newest trade; None: it is asked for.
        """
        *earlier, last = effect.begins_ms
        if earlier and newest is None:
            newest = await self._rest.newest_trade_id(effect.symbol)
        if newest is None:
            return last
        now_ms = self._clock.exchange_ms()
        low, high = 0, len(earlier)  # all before `low` have too many, `high` has not
        asked = min(effect.likely, high - 1)
        while low < high:
            begin_ms = earlier[asked]
            first = await self._rest.first_trade(effect.symbol, begin_ms, begin_ms + _DAY_MS)
            since = 0 if first is None else newest - first
            if first is None or since < effect.most:
                high = asked
            else:
                low = asked + 1
            asked = (low + high) // 2
            if low < high and since * (now_ms - earlier[low]) < effect.most * (now_ms - begin_ms):
                asked = low
        return effect.begins_ms[high]

    async def _prove_trades(self, instrument: Instrument, effect: ProveTrades) -> None:
        async def ask() -> Any:
            return await self._rest.issued_trades(effect.symbol, effect.begin_ms, effect.end_ms)

        ranges = await self._until_answered(instrument, ask, ([], []))
        base = split(effect.first)[0] * EPOCH_SPAN
        issued, never = ([(first + base, last + base) for first, last in part] for part in ranges)
        effects = instrument.receive_trade_proof(
            effect, issued, never, self._clock.message_ms(), now_s=time.monotonic()
        )
        self._run(instrument, effects)

    async def _ask_newest_trades(self, instrument: Instrument, effect: AskNewestTrades) -> None:
        await asyncio.sleep(effect.delay_s)
        ask = self._rest.newest_trades(effect.symbol, FULL_PAGE, self._clock.message_ms())
        rows = await self._answer_or_none(instrument, ask, "cannot classify doubtful trades")
        self._run(instrument, instrument.receive_newest_trades(rows or (), self._clock.message_ms()))

    async def _audit_book(self, instrument: Instrument) -> None:
        snapshot: DepthMessage | None = None
        if self._rest.has_spare("book"):
            ask = self._rest.depth(instrument.symbol, self._clock.message_ms)
            snapshot = await self._answer_or_none(instrument, ask, "the order book cannot be audited now")
        self._run(instrument, instrument.receive_audit_snapshot(snapshot, self._clock.message_ms()))

    async def _probe_streams(self, instrument: Instrument, effect: ProbeStreams) -> None:
        result = ProbeResult()
        try:
            if effect.trades and self._rest.has_spare("issued trades"):
                result = await self._probe_trades(instrument.symbol, effect.since_ms)
            if effect.book and self._rest.has_spare("top of book"):
                book = await self._rest.depth(instrument.symbol, self._clock.message_ms, _TOP_LEVELS)
                result = result._replace(update_id=book["final_update_id"], best=_best_of(book))
        except (ExchangeUnavailable, ExchangeRefused, UnknownSymbol) as error:
            _LOG.warning("%s: cannot check the silent streams: %s", instrument.symbol, error)
        instrument.receive_probe(result, time.monotonic(), self._clock.exchange_ms())

    async def _probe_trades(self, symbol: str, since_ms: int | None) -> ProbeResult:
        if since_ms is None:
            first, newest = None, await self._rest.newest_trade_id(symbol)
        else:
            issued, _ = await self._rest.issued_trades(symbol, since_ms, since_ms + _DAY_MS)
            first, newest = (issued[0][0], issued[-1][1]) if issued else (None, None)
        return ProbeResult() if newest is None else ProbeResult(first, newest, await self._rest.latest_ms())

    async def _answer_or_none(
        self, instrument: Instrument, ask: Awaitable[Answer], what: str
    ) -> Answer | None:
        """The answer once Kafka has room; None, and a log line, if the exchange does not answer."""
        answer: Answer | None = None
        try:
            answer = await ask
        except (ExchangeUnavailable, ExchangeRefused, UnknownSymbol) as error:
            _LOG.warning("%s: %s: %s", instrument.symbol, what, error)
        await self._room()
        return answer

    async def _until_answered(self, instrument: Instrument, ask: Any, nothing: Any) -> Any:
        """Ask until the exchange answers; `nothing` if it refuses, or no row can be read.

        A series waits while the exchange is down. After a refusal, which may be permanent or transient, the
        core asks again later, after other requests.
        """
        unreadable = 0
        backoff = Backoff(random.random, first_s=_FIRST_S)
        while True:
            try:
                answer = await ask()
                # An answer may cause the next request at once: at most one answer waits here for room.
                await self._room()
                return answer
            except ExchangeUnavailable as error:
                if not backoff.failures:
                    _LOG.warning("%s: cannot fill yet: %s", instrument.symbol, error)
                unreadable += isinstance(error, ExchangeUnreadable)
                if unreadable >= _UNREADABLE:
                    # A permanently unreadable row must not block everything after it.
                    _LOG.warning("%s: cannot fill: %s", instrument.symbol, error)
                    return nothing
                await asyncio.sleep(backoff.failed(error.retry_after))
            except (ExchangeRefused, UnknownSymbol) as error:
                _LOG.warning("%s: cannot fill: %s", instrument.symbol, error)
                return nothing


def _best_of(book: DepthMessage) -> tuple[tuple[float, float], tuple[float, float]] | None:
    bids, asks = book["bids"], book["asks"]
    if not bids or not asks:
        return None
    return (float(bids[0][0]), float(bids[0][1])), (float(asks[0][0]), float(asks[0][1]))
