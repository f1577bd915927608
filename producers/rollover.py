"""Replaces a connection: the old and the next one are read until the next has taken over by sequence."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

from producers.connection import Connection
from producers.exchanges.frame_types import StreamMessage
from producers.overlap import Overlap, Side, StreamId
from shared.backoff import Backoff
from shared.errors import ExchangeError, ExchangeUnavailable

_LOG = logging.getLogger(__name__)

_TICK_S: Final = 0.1
# Longer than the grace for quiet streams: a stream that the next connection lacks by then, it does not carry.
_PATIENCE_S: Final = 60.0

Take = Callable[[StreamId, StreamMessage], Sequence[StreamMessage]]


class Rollover:
    """Reads two connections through one merge. At most one next connection is open or being opened.

    Args:
        old: the connection to replace; nothing else reads it.
        open_next: opens a connection that carries the same streams.
        read: reads a connection to its end, through `Take`; why it ended.
        pass_on: takes the messages that come out of the merge.
        ended: is told which of the two connections has ended, and whether the other one does not carry all
            streams yet.
    """

    def __init__(
        self,
        old: Connection,
        streams: Iterable[StreamId],
        *,
        open_next: Callable[[], Coroutine[Any, Any, Connection]],
        read: Callable[[Connection, Take], Coroutine[Any, Any, str]],
        pass_on: Callable[[Iterable[StreamMessage]], None],
        ended: Callable[[Connection, bool], None] = lambda _connection, _cut: None,
    ) -> None:
        self._streams = tuple(streams)
        self._open_next = open_next
        self._read = read
        self._pass_on = pass_on
        self._ended = ended
        self._connections = {Side.OLD: old}
        self._reading: dict[Side, asyncio.Task[str]] = {}
        self._opening: asyncio.Task[Connection] | None = None
        self._dialling = False
        self._backoff = Backoff(random.random)
        self._overlap = Overlap(self._streams, old.silent)
        self._give_up_s = 0.0
        self._stopping = False
        self.reason = ""

    async def run(self) -> Connection | None:
        """The connection that remains; None if none does: then `reason` says why.

        Raises:
            ExchangeError: the old connection has ended, and the next one cannot be opened.
        """
        self._start_reading(Side.OLD)
        self._open(0.0)
        remaining: Connection | None = None
        try:
            while remaining is None and (self._reading or self._opening is not None):
                tasks = [*self._reading.values(), *([self._opening] if self._opening else [])]
                await asyncio.wait(tasks, timeout=_TICK_S, return_when=asyncio.FIRST_COMPLETED)
                self._take_ends()
                self._take_opened()
                self._pass_on(self._overlap.tick(time.monotonic()))
                remaining = self._next_step()
            return remaining
        finally:
            await self._close_all_but(remaining)

    def stop(self) -> None:
        """Close both connections; received frames are still read, and `run` ends."""
        self._stopping = True
        if self._opening is not None:
            self._opening.cancel()
        for connection in self._connections.values():
            connection.close()

    def _next_step(self) -> Connection | None:
        """Close what is no longer needed; the connection that remains, once only one is needed."""
        overlap, late = self._overlap, time.monotonic() > self._give_up_s
        if self._stopping:
            return None
        if len(self._reading) == 2:
            if overlap.taken_over:
                self._connections[Side.OLD].close()
            elif late and not self._connections[Side.NEXT].closing:
                names = ", ".join(f"{symbol} {interval or kind}" for symbol, kind, interval in overlap.behind)
                _LOG.warning("the next connection does not carry %s; keeping the old one", names)
                self._connections[Side.NEXT].close()
        elif Side.NEXT in self._reading:
            if overlap.settled or late:
                return self._connections[Side.NEXT]
        elif self._reading and self._opening is None and (overlap.settled or late):
            # The next connection was cut: the old one is still to be replaced.
            self._overlap = Overlap(self._streams, self._connections[Side.OLD].silent)
            self._open(self._backoff.failed())
        return None

    def _start_reading(self, side: Side) -> None:
        def take(stream: StreamId, message: StreamMessage) -> Sequence[StreamMessage]:
            return self._overlap.receive(side, stream, message)

        self._reading[side] = asyncio.create_task(self._read(self._connections[side], take))

    def _take_ends(self) -> None:
        for side in Side:
            task = self._reading.get(side)
            if task is not None and task.done():
                del self._reading[side]
                self.reason = task.result()
                connection = self._connections.pop(side)
                connection.drop()
                carries = Side.NEXT if self._overlap.taken_over else Side.OLD
                self._ended(connection, carries is side)
                self._pass_on(self._overlap.ended(side))
        if self._opening is not None and not self._reading and not self._dialling:
            # No connection is left, and the next attempt may be far off.
            self._opening.cancel()

    def _open(self, delay_s: float) -> None:
        async def opened() -> Connection:
            self._dialling = not delay_s
            await asyncio.sleep(delay_s)
            self._dialling = True
            return await self._open_next()

        self._opening = asyncio.create_task(opened())

    def _take_opened(self) -> None:
        task = self._opening
        if task is None or not task.done():
            return
        self._opening = None
        if task.cancelled():
            return
        try:
            self._connections[Side.NEXT] = task.result()
        except ExchangeError as error:
            if Side.OLD not in self._reading:
                raise
            retry_after_s = error.retry_after if isinstance(error, ExchangeUnavailable) else None
            delay_s = self._backoff.failed(retry_after_s)
            _LOG.warning("%s; keeping the old connection, trying again in %.1f s", error, delay_s)
            self._open(delay_s)
            return
        if self._stopping:
            self._connections[Side.NEXT].close()
        self._give_up_s = time.monotonic() + _PATIENCE_S
        self._start_reading(Side.NEXT)

    async def _close_all_but(self, kept: Connection | None) -> None:
        """Stop reading, and close all connections but the one that remains."""
        tasks = [*self._reading.values(), *([self._opening] if self._opening else [])]
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Connection):
                ended.drop()
        for connection in self._connections.values():
            if connection is not kept:
                await connection.close()
                connection.drop()
