"""The two ports of a store: services write through `Store`; `query` and `cryptostream run` read by `Reader`.

They are separate, since a writer's token cannot read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from consumers.measurements import Point, Value

Row = dict[str, Value | str]


class Store(Protocol):
    def write(self, points: Sequence[Point]) -> Sequence[Point]:
        """Make points durable; writing one twice is writing it once.

        A point already stored keeps the fields that the new one leaves out (as InfluxDB merges).

        Returns:
            Points that were not written because they are older than their bucket's expiry.

        Raises:
            StoreUnavailable: nothing is lost; try again after ``retry_after`` seconds.
            PointsRejected: these points can never be stored (``.rejected``); all others are stored, except
                those that are too old (``.expired``).
            StoreMisconfigured: retrying is useless; the message names the wrong setting.
        """

    @property
    def expired(self) -> int:
        """Number of points not written so far because they are older than their bucket's expiry."""

    @property
    def oldest_kept_ns(self) -> int | None:
        """Points of `ticks` before this have expired, by the newest time of the exchange among points
        written; None while that is unknown, or if nothing expires."""

    def close(self) -> None:
        """Release connections and files."""


class Reader(Protocol):
    def read(
        self,
        measurement: str,
        tags: Mapping[str, str],
        *,
        from_ns: int | None = None,
        to_ns: int | None = None,
        last: int | None = None,
    ) -> Iterator[Row]:
        """Points in ascending time, as rows: `time_ns`, the tags, then the stored fields by name.

        Args:
            tags: only series with these tag values.
            from_ns: inclusive.
            to_ns: exclusive.
            last: only this number of the newest of each series.

        Raises:
            StoreUnavailable, StoreMisconfigured: as `Store.write`.
        """

    def close(self) -> None:
        """Release connections and files."""
