"""One set of streams, carried by connection after connection until the process stops."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

from producers.backoff import Backoff
from producers.clock import Clock
from producers.connection import Link, open_connection
from producers.exchanges.binance.streams import Stream, open_with
from producers.instrument import Instrument
from producers.outlet import Outlet
from producers.overlap import StreamId
from producers.reader import FrameReader
from producers.rollover import Rollover
from producers.watchdog import Watchdog
from shared.errors import ExchangeError, ExchangeUnavailable
from shared.metrics import ServiceMetrics

_LOG = logging.getLogger(__name__)

Result = TypeVar("Result")

# The exchange cuts a connection after 24 h (BINANCE_SPOT.md §2.2); up to 10 min earlier than this, so that
# processes started together do not roll over together.
CONNECTION_AGE_S: Final = 23.5 * 3600
_SPREAD: Final = 600 / CONNECTION_AGE_S
# A connection that lived as long was a good one; the next failure waits from the beginning again.
_GOOD_AFTER_S: Final = 30.0
# An exchange may announce the end of each new connection at once; 300 in 5 minutes are allowed per IP (§2.3).
_BETWEEN_OPENINGS_S: Final = 2.0
# A stream that no connection brings must not cost the others their peace: each time twice as long.
_LEAVE_AGAIN_S: Final = 15.0
_LONGEST_LEAVE_S: Final = 900.0
_LONGEST_MUTE_S: Final = 60.0
# A stream that says what cannot be may do so on each connection; the others are not to suffer from it.
_BETWEEN_DISTRUSTS_S: Final = 60.0


class Feed:
    """Reads the streams of some instruments.

    The next connection is opened before the exchange cuts this one, when it announces the end, and when a
    stream falls silent; both are read until the next one has taken over (`Rollover`).

    Args:
        streams: what this connection carries.
        instruments: by symbol.
        connection_age_s: after how long, less a small random part, the next connection is opened.
    """

    def __init__(
        self,
        websocket_url: str,
        streams: Sequence[Stream],
        *,
        instruments: Mapping[str, Instrument],
        outlet: Outlet,
        metrics: ServiceMetrics,
        clock: Clock,
        connection_age_s: float = CONNECTION_AGE_S,
    ) -> None:
        self._url, self._subscribe_frames = open_with(websocket_url, streams)
        self._streams = streams
        self._instruments = instruments
        self._outlet = outlet
        self._clock = clock
        # By symbol: their streams are never parted (`connections`).
        self.symbols = tuple(dict.fromkeys(stream.symbol for stream in streams))
        self._reader = FrameReader(
            instruments, outlet, metrics, clock, announced=self._announced, distrusted=self._distrusted
        )
        self._connection_age_s = connection_age_s
        self._stopping = asyncio.Event()
        self._admitted = asyncio.Event()  # cleared while no connection is wanted
        self._admitted.set()
        self._refusal = ""
        self._link: Link | None = None  # what is read, or was read last
        self._rollover: Rollover | None = None
        self._reading: asyncio.Task[Any] | None = None
        self._opened_s = -_BETWEEN_OPENINGS_S
        self._distrusted_s = -_BETWEEN_DISTRUSTS_S
        self._leavings = 0  # in a row, for streams that the next connection did not bring either
        self._left_s = -_LONGEST_LEAVE_S
        self.trouble = ""
        self.reconnects = 0
        self.rollovers = 0

    @property
    def received(self) -> int:
        """Messages that went to the instruments."""
        return self._reader.received

    @property
    def ignored(self) -> int:
        """Frames that are not ours to carry."""
        return self._reader.ignored

    @property
    def carrying(self) -> bool:
        """Whether a connection is being read."""
        return self._reading is not None

    @property
    def watchdog(self) -> Watchdog:
        """How the streams of the present connection are doing."""
        return Watchdog((), time.monotonic()) if self._link is None else self._link.watchdog

    async def run(self) -> None:
        """Carry the streams until `stop`.

        Raises:
            ExchangeRefused: this place is not served, now or ever.
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
        """Close the connection; what has been received is still read."""
        self._stopping.set()
        self._admitted.set()
        if self._rollover is not None:
            self._rollover.stop()
        if self._link is not None:
            await self._link.close()

    def suspend(self, reason: str) -> None:
        """Close the connection and give the books up; none is opened until `resume`.

        What was received and not yet read is not: it is missing from the sequences, which get it again.
        """
        self._refusal = reason
        self._admitted.clear()
        if self._reading is not None:
            self._reading.cancel()

    def resume(self) -> None:
        """Connect again after `suspend`."""
        self._admitted.set()

    def judge(self) -> None:
        """Once a second: leave a connection that is old, or of which a stream has fallen silent."""
        link = self._link
        if link is None or link.leaving is not None or link.closing or self._reading is None:
            return
        now_s = time.monotonic()
        if now_s >= link.due_s:
            self._leave(link, f"the connection is {(now_s - link.opened_s) / 3600:.1f} h old")
            return
        halted = frozenset(symbol for symbol, instrument in self._instruments.items() if instrument.halted)
        verdict = link.watchdog.judge(now_s, halted, self._uncarried())
        if verdict is None:
            if now_s - self._left_s >= _LONGEST_LEAVE_S:
                self._leavings = 0
            return
        # One that says nothing at all carries nothing that could suffer.
        longest_s = _LONGEST_MUTE_S if link.watchdog.mute(now_s) else _LONGEST_LEAVE_S
        if now_s - self._left_s >= min(longest_s, _LEAVE_AGAIN_S * 2.0 ** min(self._leavings, 10)):
            self._leavings, self._left_s = self._leavings + 1, now_s
            link.silent = link.watchdog.silent(now_s)
            self._leave(link, verdict.reason)

    def _uncarried(self) -> dict[StreamId, str]:
        """Streams that are proved not to be carried, and why."""
        return {
            (symbol, *uncarried.stream): uncarried.why
            for symbol in self.symbols
            for uncarried in self._instruments[symbol].uncarried
        }

    def distrust(self, symbol: str, kind: str, reason: str) -> None:
        """A stream of a symbol has said what cannot be; no matter where it is not carried here."""
        if self._link is not None and any(stream[:2] == (symbol, kind) for stream in self._streams):
            self._distrusted(self._link, f"{symbol} {kind}: {reason}")

    def _distrusted(self, link: Link, reason: str) -> None:
        """Another connection may do better; but one that lies as well is borne with for a while."""
        now_s = time.monotonic()
        if now_s - self._distrusted_s >= _BETWEEN_DISTRUSTS_S:
            self._distrusted_s = now_s
            self._leave(link, reason)

    def _announced(self, link: Link) -> None:
        self._leave(link, "the exchange announces the end of this connection")

    def _leave(self, link: Link, reason: str) -> None:
        """The next connection is wanted in place of this one."""
        if link.leaving is not None or self._stopping.is_set():
            return
        link.leaving = reason
        if self._rollover is None and self._reading is not None:
            # Nothing is lost by it: a frame is taken from the connection's queue or it is not.
            self._reading.cancel()

    async def _pause(self, delay_s: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), delay_s)
        except TimeoutError:
            return

    async def _open(self) -> Link:
        await self._pause(self._opened_s + _BETWEEN_OPENINGS_S - time.monotonic())
        self._opened_s = time.monotonic()
        connection = await open_connection(self._url, self._subscribe_frames)
        self.trouble = ""
        _LOG.info("connected: %d streams", len(self._streams))
        return Link(connection, self._streams, self._connection_age_s * (1 - _SPREAD * random.random()))

    async def _carry(self, link: Link) -> str:
        """Read connection after connection, until one ends and no next one carries on; why it ended."""
        reason = "the connection was cut"
        try:
            while self._admitted.is_set():
                if self._link is not link:
                    self._link = link
                    for symbol in self.symbols:
                        self._instruments[symbol].reopened(time.monotonic())
                if self._stopping.is_set():
                    link.close()
                if link.leaving is None or self._stopping.is_set():
                    ended = await self._until_interrupted(self._reader.read(link))
                    if ended is not None:
                        reason = ended
                        return reason
                    continue
                following, reason = await self._roll_over(link)
                if following is None:
                    return reason
                link = following
            await link.close()
            reason = self._refusal
            return reason
        except ExchangeError as error:
            reason = str(error)
            raise
        finally:
            link.drop()
            if not self._stopping.is_set():
                self._give_books_up(reason)

    async def _roll_over(self, link: Link) -> tuple[Link | None, str]:
        """The connection that carries on in place of this one, or None and why there is none."""
        _LOG.info("%s; opening the next connection", link.leaving)
        begun_s = time.monotonic()
        rollover = self._rollover = Rollover(
            link,
            [stream[:3] for stream in self._streams],
            open_next=self._open,
            read=self._reader.read_through,
            pass_on=self._reader.pass_on,
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
        """What `work` gives; None if `suspend` or `_leave` has ended it."""
        task = self._reading = asyncio.create_task(work)
        try:
            await asyncio.wait((task,))
        finally:
            self._reading = None
            task.cancel()
        return None if task.cancelled() else task.result()

    def _give_books_up(self, reason: str) -> None:
        """Not at an orderly stop: there the last book published stays true for its time."""
        now_ms = self._clock.message_ms()
        for symbol in self.symbols:
            instrument = self._instruments[symbol]
            self._outlet.perform(instrument, instrument.disconnected(reason, now_ms))
