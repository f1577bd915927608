"""The spool: what a run has taken is on this disk first, and leaves it when it has landed.

So a landing place or a warehouse may be away for hours: what the exchange answered meanwhile is not lost.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

import pyarrow as pa

from pipelines.snapshots.frame import parquet_of, rows_of_parquet
from pipelines.snapshots.landing.local import LocalLanding
from pipelines.snapshots.landing.port import Conflict, LandingPlace
from pipelines.snapshots.plan import MOST_ROWS
from pipelines.snapshots.rows import SnapshotRow, merge

ROWS: Final = "rows"
WAREHOUSE: Final = "warehouse"
_BLOBS: Final = "blobs"
_SPOILT: Final = "spoilt"
_LOG = logging.getLogger(__name__)


class Spool:
    """A local directory; names say what they are of, so that the same rows are one file however often put."""

    def __init__(self, root: Path) -> None:
        self._place = LocalLanding(root)

    def put_rows(self, rows: Sequence[SnapshotRow], *queues: str) -> None:
        """Keep rows for each of the queues."""
        if not rows:
            return
        content = parquet_of(rows)
        name = f"{rows[0].slot_ms}-{hashlib.sha256(content).hexdigest()[:16]}.parquet"
        for queue in queues:
            self._put(f"{queue}/{name}", content)

    def put_blob(self, name: str, content: bytes) -> None:
        """Keep a blob that is to be written under this name, once."""
        self._put(f"{_BLOBS}/{quote(name, safe='')}", content)

    def waiting(self, queue: str) -> int:
        """How many files of rows wait."""
        return len(self._place.names(queue))

    def drain_rows(self, queue: str, take: Callable[[list[SnapshotRow]], object]) -> int:
        """Hand rows over and forget them once `take` has returned; returns how many slots they were of."""
        slots: set[int] = set()
        names = [f"{queue}/{name}" for name in self._place.names(queue)]
        while names:
            held, rows = self._read(names)
            take(rows)
            for name in held:
                self._place.delete(name)
            slots |= {row.slot_ms for row in rows}
            names = names[len(held) :]
        return len(slots)

    def _read(self, names: Sequence[str]) -> tuple[Sequence[str], list[SnapshotRow]]:
        """As many of the first files as make MOST_ROWS rows, and these, one a key."""
        rows: list[SnapshotRow] = []
        for count, name in enumerate(names, start=1):
            rows += self._rows(name)
            if len(rows) >= MOST_ROWS:
                return names[:count], merge(rows)
        return names, merge(rows)

    def _rows(self, name: str) -> list[SnapshotRow]:
        """The rows of a file; one that a damaged disk has spoilt is set aside: it would stop all others."""
        blob = self._place.read(name)
        try:
            return rows_of_parquet(blob.content) if blob else []
        except (pa.ArrowException, KeyError) as error:
            _LOG.warning("%s of the spool cannot be read (%s); it is kept in %s", name, error, _SPOILT)
            self._put(f"{_SPOILT}/{name.replace('/', '-')}", blob.content if blob else b"")
            return []

    def drain_blobs(self, target: LandingPlace) -> None:
        """Write what waits to its place; what is there already is the same."""
        for name in self._place.names(_BLOBS):
            blob = self._place.read(f"{_BLOBS}/{name}")
            if blob is None:
                continue
            _create(target, unquote(name), blob.content)
            self._place.delete(f"{_BLOBS}/{name}")

    def _put(self, name: str, content: bytes) -> None:
        _create(self._place, name, content)


def _create(place: LandingPlace, name: str, content: bytes) -> None:
    try:
        place.write(name, content, None)
    except Conflict:
        return  # names carry their content's digest: it is the same
