"""The two ports of a store: services write through `Store`, `query` and the embedded mode read `Reader`.

A writer's token cannot read, so the two are apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from consumers.measurements import Value
from consumers.points import Point

Row = dict[str, Value | str]


class Store(Protocol):
    def write(self, points: Sequence[Point]) -> Sequence[Point]:
        """Make points durable; writing one twice is writing it once.

        A point already stored keeps the fields that the new one leaves out (as InfluxDB merges).

        Returns:
            Those that were not written, for the store finds them older than their bucket's expiry.

        Raises:
            StoreUnavailable: nothing is lost; try again after ``retry_after`` seconds.
            PointsRejected: these points can never be stored (``.rejected``); all others are, but for those
                that are too old (``.expired``).
            StoreMisconfigured: no try will help; the message names the setting to blame.
        """

    @property
    def expired(self) -> int:
        """Points not written so far because they are older than their bucket keeps."""

    @property
    def oldest_kept_ns(self) -> int | None:
        """Points of `ticks` before this have expired, by the newest time of the exchange that points have
        shown; None while that is unknown, or nothing expires."""

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
            last: only the newest so many of each series.

        Raises:
            StoreUnavailable, StoreMisconfigured: as `Store.write`.
        """

    def close(self) -> None:
        """Release connections and files."""
