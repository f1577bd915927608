"""A batch on its way to the store, on a thread of its own: the next one is computed meanwhile."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

from consumers.enrich.port import Enriched, Record
from consumers.points import Point
from consumers.stores.port import Store
from shared.errors import PointsRejected

# InfluxDB and SQLite both take so many in one request or transaction.
WRITE_POINTS: Final = 5_000


class BatchWrite:
    """Writes the points of a batch, request by request; goes on where it stopped when it is run again.

    Attributes:
        records: what the points were made of.
        rejected: points that can never be stored, each with the reason.
        stored_ms: when all others were durable, by the consumer's clock; None until then.
    """

    def __init__(
        self, store: Store, enriched: Enriched, records: Sequence[Record], now_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._now_ms = now_ms
        self._written = 0
        self.enriched = enriched
        self.records = records
        self.rejected: list[tuple[Point, str]] = []
        self.stored_ms: int | None = None

    @property
    def left(self) -> int:
        """Points that are not durable yet."""
        return max(len(self.enriched.points) - self._written, 0)

    def run(self) -> None:
        """Make the points durable.

        Raises:
            StoreUnavailable: nothing is lost; run it again.
            StoreMisconfigured: no try will help.
        """
        points = self.enriched.points
        while self._written < len(points):
            try:
                self._store.write(points[self._written : self._written + WRITE_POINTS])
            except PointsRejected as error:
                self.rejected += error.rejected
            self._written += WRITE_POINTS
        self.stored_ms = self._now_ms()


class Writer:
    """Runs one write at a time.

    Its thread is a daemon, so that a store that does not answer cannot hold the process beyond its stop.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[BatchWrite, Future[None]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=f"{name} writer", daemon=True).start()

    def begin(self, batch: BatchWrite) -> Future[None]:
        """Run it on the writer's thread; the future has what `BatchWrite.run` raises."""
        future: Future[None] = Future()
        self._jobs.put((batch, future))
        return future

    def close(self) -> None:
        """End the thread, after what it has in hand."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch, future = job
            try:
                batch.run()
            except BaseException as error:  # noqa: BLE001 - handed to the consumer's thread, which raises it
                future.set_exception(error)
            else:
                future.set_result(None)
