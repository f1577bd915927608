"""Pages of rows: where one ends and the next one begins. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from api.rows_request import Cursor, RowsRequest
from consumers.stores.port import Row


class Page:
    """Takes rows in their order, up to `most`.

    Attributes:
        next: cursor of the following page, once a row is known that no longer fits.
    """

    def __init__(self, request: RowsRequest, most: int) -> None:
        self._from_ns = request.from_ns
        self._skip = request.skip
        self._room = most
        # The newest row's time, and how many rows of that time there were on this page and those before.
        self._time_ns: int | None = request.from_ns if request.skip else None
        self._of_time = request.skip
        self.next: str | None = None

    def take(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows that belong to this page."""
        if self._skip:
            rows = self._skipped(rows)
        if not rows:
            return rows
        kept = rows if len(rows) <= self._room else rows[: self._room]
        self._room -= len(kept)
        if kept:
            self._count(kept)
        if len(kept) < len(rows) and self._time_ns is not None:
            self.next = str(Cursor(self._time_ns, self._of_time))
        return kept

    def _skipped(self, rows: Sequence[Row]) -> Sequence[Row]:
        beyond = 0
        while beyond < len(rows) and beyond < self._skip and rows[beyond]["time_ns"] == self._from_ns:
            beyond += 1
        self._skip = self._skip - beyond if beyond == len(rows) else 0
        return rows[beyond:]

    def _count(self, kept: Sequence[Row]) -> None:
        time_ns = int(kept[-1]["time_ns"] or 0)
        same = 0
        while same < len(kept) and kept[-1 - same]["time_ns"] == time_ns:
            same += 1
        self._of_time = same + (self._of_time if same == len(kept) and time_ns == self._time_ns else 0)
        self._time_ns = time_ns
