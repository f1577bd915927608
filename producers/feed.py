"""Carries one set of streams, over one connection after another, until the process stops."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Mapping
from typing import Any, Final, TypeVar

from producers.clock import Clock
from producers.connection import Connection, open_connection, pacer_of
from producers.effect_runner import EffectRunner
from producers.exchanges.pacing import Pacer
from producers.exchanges.port import Exchange, Liveness, Plan
from producers.instrument import Instrument
from producers.overlap import StreamId
from producers.reader import FrameReader
from producers.rollover import Rollover
from producers.watchdog import Reconnect, Watchdog
from shared.backoff import Backoff
from shared.errors import ExchangeError, ExchangeUnavailable
from shared.metrics import ServiceMetrics

_LOG = logging.getLogger(__name__)

Result = TypeVar("Result")

# Of a connection's age a random part is subtracted, 10 min of a day, so that processes started together do
# not roll over together.
_SPREAD: Final = 600 / 84_600
# After a connection that lived this long the backoff starts again.
_GOOD_AFTER_S: Final = 30.0
# An exchange may end each new connection at once; 300 in 5 minutes are allowed per IP (§2.3).
_BETWEEN_OPENINGS_S: Final = 2.0
# A stream that no connection carries must not disturb the others: the wait doubles each time.
_REPLACE_AGAIN_S: Final = 15.0
_LONGEST_REPLACE_S: Final = 900.0
_LONGEST_MUTE_S: Final = 60.0
# A stream may have impossible content on each connection; the others must not suffer from it.
_BETWEEN_DISTRUSTS_S: Final = 60.0


class Feed:
    """Reads the streams of some instruments.

    The next connection is opened before the exchange cuts this one, when the exchange announces the end, and
    when a stream falls silent; both are read until the next one has taken over (`Rollover`).

    Args:
        plan: what each connection carries, and how it is opened.
        exchange: gives each connection its parser.
        instruments: by symbol.
        connection_age_s: age, less a small random part, at which the next connection is opened; None: the
            plan's.
        pacer: of the messages of all feeds; None: this one's own.
    """

    def __init__(
        self,
        plan: Plan,
        exchange: Exchange,
        *,
        instruments: Mapping[str, Instrument],
        runner: EffectRunner,
        metrics: ServiceMetrics,
        clock: Clock,
        connection_age_s: float | None = None,
        pacer: Pacer | None = None,
    ) -> None:
        self._plan = plan
        self._pacer = pacer_of(plan) if pacer is None else pacer
        self._exchange = exchange
        self._streams = plan.streams
        self._instruments = instruments
        self._runner = runner
        self._clock = clock
        # All streams of a symbol are on one connection.
        self.symbols = tuple(dict.fromkeys(stream.symbol for stream in plan.streams))
        self._reader = FrameReader(
            instruments,
            runner,
            metrics,
            clock,
            lanes=exchange.lanes(plan, {symbol: instruments[symbol].next_steps for symbol in self.symbols}),
            announced=self._announced,
            distrusted=self._distrusted,
        )
        self._connection_age_s = plan.age_s if connection_age_s is None else connection_age_s
        self._stopping = asyncio.Event()
        self._admitted = asyncio.Event()  # cleared while no connection is wanted
        self._admitted.set()
        self._refusal = ""
        self._connection: Connection | None = None  # the present or the last one
        self._rollover: Rollover | None = None
        self._reading: asyncio.Task[Any] | None = None
        self._opened_s = -_BETWEEN_OPENINGS_S
        self._distrusted_s = -_BETWEEN_DISTRUSTS_S
        self._replacements = 0  # in a row, for streams that the new connection did not carry either
        self._replaced_s = -_LONGEST_REPLACE_S
        self.trouble = ""
        self.reconnects = 0
        self.rollovers = 0

    @property
    def received(self) -> int:
        """Number of messages passed to the instruments."""
        return self._reader.received

    @property
    def ignored(self) -> int:
        """Number of frames of streams that were not subscribed."""
        return self._reader.ignored

    def brought_to_s(self, now_s: float) -> float | None:
        """Up to when the stream has brought what the exchange had: the newest frame, less how late its events
        come; None while no connection is read."""
        connection = self._connection
        if connection is None or self._reading is None:
            return None
        return connection.watchdog.frame_s - connection.lag.ms(now_s) / 1000

    @property
    def carrying(self) -> bool:
        """Whether a connection is being read."""
        return self._reading is not None

    @property
    def watchdog(self) -> Watchdog:
        """The watchdog of the present connection's streams."""
        if self._connection is None:
            return Watchdog((), time.monotonic(), Liveness())
        return self._connection.watchdog

    async def run(self) -> None:
        """Carry the streams until `stop`.

        Raises:
            ExchangeRefused: the exchange does not serve this location.
        """
        backoff = Backoff(random.random)
        while not self._stopping.is_set():
            await self._admitted.wait()
            opened_at, retry_after_s = time.monotonic(), 0.0
            try:
                reason = await self._carry(await self._open())
            except ExchangeUnavailable as error:
                reason, retry_after_s = str(error), error.retry_after or 0.0
            if self._stopping.is_set():
                return
            if not self._admitted.is_set():
                continue
            self.reconnects += 1
            self.trouble = reason
            if time.monotonic() - opened_at > _GOOD_AFTER_S:
                backoff.succeeded()
            delay_s = backoff.failed(retry_after_s)
            _LOG.warning("%s; connecting again in %.1f s", reason, delay_s)
            await self._pause(delay_s)

    async def stop(self) -> None:
        """Close the connection; received frames are still read."""
        self._stopping.set()
        self._admitted.set()
        if self._rollover is not None:
            self._rollover.stop()
        if self._connection is not None:
            await self._connection.close()

    def suspend(self, reason: str) -> None:
        """Close the connection and mark its books unsynced; none is opened until `resume`.

        Unread frames are dropped; gap repair fetches them again.
        """
        self._refusal = reason
        self._admitted.clear()
        if self._reading is not None:
            self._reading.cancel()

    def resume(self) -> None:
        """Connect again after `suspend`."""
        self._admitted.set()

    def check(self) -> None:
        """Once a second: replace a connection that is old or has a silent stream."""
        connection = self._connection
        if (
            connection is None
            or connection.replace_reason is not None
            or connection.closing
            or self._reading is None
        ):
            return
        now_s = time.monotonic()
        if now_s >= connection.due_s:
            self._replace(connection, f"the connection is {(now_s - connection.opened_s) / 3600:.1f} h old")
            return
        halted = frozenset(symbol for symbol, instrument in self._instruments.items() if instrument.halted)
        reconnect = connection.watchdog.check(now_s, halted, self._uncarried())
        unacknowledged = connection.unacknowledged(now_s)
        if reconnect is None and unacknowledged is not None:
            reconnect = Reconnect(unacknowledged)
        if reconnect is None:
            if now_s - self._replaced_s >= _LONGEST_REPLACE_S:
                self._replacements = 0
            return
        # Replacing a connection without any message disturbs nothing.
        longest_s = _LONGEST_MUTE_S if connection.watchdog.mute(now_s) else _LONGEST_REPLACE_S
        if now_s - self._replaced_s >= min(longest_s, _REPLACE_AGAIN_S * 2.0 ** min(self._replacements, 10)):
            self._replacements, self._replaced_s = self._replacements + 1, now_s
            connection.silent = connection.watchdog.silent(now_s)
            self._replace(connection, reconnect.reason)

    def _uncarried(self) -> dict[StreamId, str]:
        """Streams proved not to be carried, and why."""
        return {
            (symbol, *uncarried.stream): uncarried.why
            for symbol in self.symbols
            for uncarried in self._instruments[symbol].uncarried
        }

    def distrust(self, symbol: str, kind: str, reason: str) -> None:
        """A stream of a symbol has impossible content; ignored if this feed does not carry it."""
        if self._connection is not None and any(stream[:2] == (symbol, kind) for stream in self._streams):
            self._distrusted(self._connection, f"{symbol} {kind}: {reason}")

    def _distrusted(self, connection: Connection, reason: str) -> None:
        """Replace the connection: another one may be right. At most once a minute."""
        now_s = time.monotonic()
        if now_s - self._distrusted_s >= _BETWEEN_DISTRUSTS_S:
            self._distrusted_s = now_s
            self._replace(connection, reason)

    def _announced(self, connection: Connection) -> None:
        self._replace(connection, "the exchange announces the end of this connection")

    def _replace(self, connection: Connection, reason: str) -> None:
        """Open the next connection in place of this one."""
        if connection.replace_reason is not None or self._stopping.is_set():
            return
        connection.replace_reason = reason
        if self._rollover is None and self._reading is not None:
            # Cancelling loses nothing: a frame is either taken from the connection's queue or still in it.
            self._reading.cancel()

    async def _pause(self, delay_s: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), delay_s)
        except TimeoutError:
            return

    async def _open(self) -> Connection:
        await self._pause(self._opened_s + _BETWEEN_OPENINGS_S - time.monotonic())
        self._opened_s = time.monotonic()
        socket = await open_connection(self._plan, self._pacer)
        self.trouble = ""
        _LOG.info("connected: %d streams", len(self._streams))
        age_s = self._connection_age_s * (1 - _SPREAD * random.random())
        return Connection(socket, self._plan, self._exchange.parser(self._plan), age_s, self._pacer)

    async def _carry(self, connection: Connection) -> str:
        """Read connections until one ends without a successor; why it ended."""
        reason = "the connection was cut"
        try:
            while self._admitted.is_set():
                if self._connection is not connection:
                    self._connection = connection
                    self._follow(connection)
                if self._stopping.is_set():
                    connection.close()
                if connection.replace_reason is None or self._stopping.is_set():
                    ended = await self._until_interrupted(self._reader.read(connection))
                    if ended is not None:
                        reason = ended
                        return reason
                    continue
                following, reason = await self._roll_over(connection)
                if following is None:
                    return reason
                connection = following
            await connection.close()
            reason = self._refusal
            return reason
        except ExchangeError as error:
            reason = str(error)
            raise
        finally:
            connection.drop()
            if not self._stopping.is_set():
                self._mark_books_unsynced(reason)

    @property
    def _streamed_books(self) -> bool:
        """Each connection brings whole books, which are compared as such (`StreamedBookFeed`)."""
        return self._exchange.promises.book.integrity in ("crc", "counter")

    def _follow(self, connection: Connection) -> None:
        now_ms = self._clock.message_ms()
        for symbol in self.symbols:
            instrument = self._instruments[symbol]
            instrument.reopened(time.monotonic())
            self._runner.run(instrument, instrument.follow(connection, now_ms))

    def _ended(self, connection: Connection, cut: bool) -> None:
        """One of two connections has ended; on orderly shutdown both do, and books stay as they are."""
        if self._stopping.is_set():
            return
        now_ms = self._clock.message_ms()
        for symbol in self.symbols:
            instrument = self._instruments[symbol]
            self._runner.run(instrument, instrument.ended(connection, now_ms, cut=cut))

    async def _roll_over(self, connection: Connection) -> tuple[Connection | None, str]:
        """The connection that takes over from this one, or None and why there is none."""
        _LOG.info("%s; opening the next connection", connection.replace_reason)
        begun_s = time.monotonic()
        rollover = self._rollover = Rollover(
            connection,
            [stream[:3] for stream in self._streams if stream.kind != "depth" or not self._streamed_books],
            open_next=self._open,
            read=self._reader.read,
            pass_on=self._reader.pass_on,
            ended=self._ended,
        )
        try:
            following = await self._until_interrupted(rollover.run())
        finally:
            self._rollover = None
        if following is None:
            return None, rollover.reason if self._admitted.is_set() else self._refusal
        self.rollovers += 1
        _LOG.info("the next connection has taken over after %.1f s", time.monotonic() - begun_s)
        return following, ""

    async def _until_interrupted(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """The result of `work`; None if `suspend` or `_replace` has cancelled it."""
        task = self._reading = asyncio.create_task(work)
        try:
            await asyncio.wait((task,))
        finally:
            self._reading = None
            task.cancel()
        return None if task.cancelled() else task.result()

    def _mark_books_unsynced(self, reason: str) -> None:
        """Mark books unsynced, except on orderly shutdown."""
        now_ms = self._clock.message_ms()
        for symbol in self.symbols:
            instrument = self._instruments[symbol]
            self._runner.run(instrument, instrument.disconnected(reason, now_ms))
