"""The store's `Reader` for many requests: few threads, a bounded number of requests, rows in chunks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import islice
from types import MappingProxyType
from typing import Final, TypeVar

from api.configured import Configured, is_configured
from api.problems import busy, of_store
from consumers.stores.port import Reader, Row
from shared.background import Background
from shared.errors import StoreError

log: Final = logging.getLogger(__name__)

Answer = TypeVar("Answer")

THREADS: Final = 4
# Requests at once; a thread reads for several in turns, a chunk each.
REQUESTS: Final = 16
# Of these, for instruments that the settings do not name: all on one thread.
UNCONFIGURED: Final = 4
# Some hundred kB: what a request holds in memory.
CHUNK_ROWS: Final = 2_000


class Reading:
    """The place of one request: all its reads are on one thread."""

    def __init__(self, worker: _Worker, tell: Callable[[str | None], None]) -> None:
        self._worker = worker
        self._tell = tell

    async def run(self, job: Callable[[Reader], Answer]) -> Answer:
        """Read.

        Raises:
            Problem: the store is away.
        """
        try:
            answer = await asyncio.wrap_future(self._worker.thread.submit(lambda: job(self._worker.reader())))
        except StoreError as error:
            self._tell(str(error))
            raise of_store(error) from None
        self._tell(None)
        return answer

    async def work(self, job: Callable[[], Answer]) -> Answer:
        """Do what would hold up the event loop."""
        return await asyncio.wrap_future(self._worker.thread.submit(job))

    async def rows(
        self,
        measurement: str,
        tags: Mapping[str, str],
        *,
        from_ns: int | None = None,
        to_ns: int | None = None,
        last: int | None = None,
    ) -> AsyncIterator[list[Row]]:
        """`Reader.read` in chunks. Raises as `run`."""

        def begin(reader: Reader) -> Iterator[Row]:
            return iter(reader.read(measurement, tags, from_ns=from_ns, to_ns=to_ns, last=last))

        rows = await self.run(begin)
        try:
            while chunk := await self.run(lambda _reader: list(islice(rows, CHUNK_ROWS))):
                yield chunk
                if len(chunk) < CHUNK_ROWS:
                    return
        finally:
            # A reader's open transaction ends; also if this task is being cancelled.
            self._worker.thread.submit(lambda: _close(rows))


class History:
    """Reads the store.

    Attributes:
        away: why the store did not answer its last read; None if it did.

    Args:
        open_reader: called on each of the threads, at its first read.
        configured: instruments whose requests have all places; None: all.
    """

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        configured: Configured | None = None,
        *,
        threads: int = THREADS,
        requests: int = REQUESTS,
    ) -> None:
        self._workers = [_Worker(open_reader, f"history {number}") for number in range(threads)]
        self._configured = configured
        self._requests = requests
        self._unconfigured = 0
        self.away: str | None = None

    def _note(self, away: str | None) -> None:
        if away is not None and self.away is None:
            log.warning("history is away: %s; what is live goes on", away)
        elif away is None and self.away is not None:
            log.info("history is back")
        self.away = away

    @asynccontextmanager
    async def reading(self, tags: Mapping[str, str] = MappingProxyType({})) -> AsyncIterator[Reading]:
        """A place to read.

        Args:
            tags: that the request names.

        Raises:
            Problem: all are taken.
        """
        if sum(worker.requests for worker in self._workers) >= self._requests:
            raise busy(f"{self._requests} requests are reading the history already; ask again")
        other = self._configured is not None and not is_configured(tags, self._configured)
        if other and self._unconfigured >= UNCONFIGURED:
            raise busy(f"{UNCONFIGURED} requests are reading what SYMBOLS does not name already; ask again")
        worker = self._workers[0] if other else self._least_busy()
        worker.requests += 1
        self._unconfigured += other
        try:
            yield Reading(worker, self._note)
        finally:
            worker.requests -= 1
            self._unconfigured -= other

    def _least_busy(self) -> _Worker:
        # Not the thread of other instruments, if there are more.
        threads = self._workers[1:] if self._unconfigured else self._workers
        return min(threads or self._workers, key=lambda each: each.requests)

    def close(self) -> None:
        """End the threads after what they read now; they do not keep the process."""
        for worker in self._workers:
            worker.close()


class _Worker:
    def __init__(self, open_reader: Callable[[], Reader], name: str) -> None:
        self._open_reader = open_reader
        self._reader: Reader | None = None
        self.thread = Background(name)
        self.requests = 0

    def reader(self) -> Reader:
        """The reader of this thread; a store that was away is tried again at each request."""
        if self._reader is None:
            self._reader = self._open_reader()
        return self._reader

    def close(self) -> None:
        if self._reader is not None:
            self.thread.submit(self._reader.close)
        self.thread.close()


def _close(rows: Iterator[Row]) -> None:
    close = getattr(rows, "close", None)
    if close is not None:
        close()
