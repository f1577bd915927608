"""Writes a batch to the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from consumers.enrich.port import Enriched, Record
from consumers.measurements import Point
from consumers.stores.port import Store
from shared.errors import PointsRejected

# One transaction of SQLite, or four requests to InfluxDB, of which two are on their way at once.
WRITE_POINTS: Final = 20_000


class BatchWrite:
    """Writes the points of a batch, request by request; a second run resumes where the first stopped.

    Attributes:
        sample: some of the records that the points were made of, by which latency is told.
        rejected: points that can never be stored, each with the reason.
        expired: points that are too old for the store.
        stored_ms: when all others were durable, by the consumer's clock; None until then.
    """

    def __init__(
        self, store: Store, enriched: Enriched, sample: Sequence[Record], now_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._now_ms = now_ms
        self._written = 0
        self.enriched = enriched
        self.sample = sample
        self.rejected: list[tuple[Point, str]] = []
        self.expired: list[Point] = []
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
                self.expired += self._store.write(points[self._written : self._written + WRITE_POINTS])
            except PointsRejected as error:
                self.rejected += error.rejected
                self.expired += error.expired
            self._written += WRITE_POINTS
        self.stored_ms = self._now_ms()


def described(point: Point) -> dict[str, Any]:
    """A point as a dead letter tells it."""
    measurement = point.series.measurement
    return {
        "measurement": measurement.name,
        "tags": dict(zip(measurement.tags, point.series.tags, strict=True)),
        "time_ns": point.time_ns,
        "fields": dict(zip((column.name for column in measurement.columns), point.values, strict=False)),
    }
