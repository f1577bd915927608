"""The spool: rows are written to the local disk first, and removed once they have landed.

A landing or a warehouse may be unavailable for hours without losing observations.
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
from pipelines.snapshots.landing.port import Conflict, Landing
from pipelines.snapshots.plan import MOST_ROWS
from pipelines.snapshots.rows import SnapshotRow, merge

ROWS: Final = "rows"
WAREHOUSE: Final = "warehouse"
_BLOBS: Final = "blobs"
_SPOILT: Final = "spoilt"
_LOG = logging.getLogger(__name__)


class Spool:
    """A local directory; names carry a digest, so that equal rows are one file however often put."""

    def __init__(self, root: Path) -> None:
        self._local = LocalLanding(root)

    def put_rows(self, rows: Sequence[SnapshotRow], *queues: str) -> None:
        """Keep rows for each of the queues."""
        if not rows:
            return
        content = parquet_of(rows)
        name = f"{rows[0].slot_ms}-{hashlib.sha256(content).hexdigest()[:16]}.parquet"
        for queue in queues:
            self._put(f"{queue}/{name}", content)

    def put_blob(self, name: str, content: bytes) -> None:
        """Keep a blob to be written under this name."""
        self._put(f"{_BLOBS}/{quote(name, safe='')}", content)

    def waiting(self, queue: str) -> int:
        """How many files of rows wait."""
        return len(self._local.names(queue))

    def drain_rows(self, queue: str, take: Callable[[list[SnapshotRow]], object]) -> int:
        """Pass rows to `take`, and delete them once it has returned; returns how many slots they were of."""
        slots: set[int] = set()
        names = [f"{queue}/{name}" for name in self._local.names(queue)]
        while names:
            taken, rows = self._read(names)
            take(rows)
            for name in taken:
                self._local.delete(name)
            slots |= {row.slot_ms for row in rows}
            names = names[len(taken) :]
        return len(slots)

    def _read(self, names: Sequence[str]) -> tuple[Sequence[str], list[SnapshotRow]]:
        """The first files up to MOST_ROWS rows, and their rows, one a key."""
        rows: list[SnapshotRow] = []
        for count, name in enumerate(names, start=1):
            rows += self._rows(name)
            if len(rows) >= MOST_ROWS:
                return names[:count], merge(rows)
        return names, merge(rows)

    def _rows(self, name: str) -> list[SnapshotRow]:
        """The rows of a file; a damaged one is set aside, since it would block all others."""
        blob = self._local.read(name)
        try:
            return rows_of_parquet(blob.content) if blob else []
        except (pa.ArrowException, KeyError) as error:
            _LOG.warning("%s of the spool is unreadable (%s); it is kept in %s", name, error, _SPOILT)
            self._put(f"{_SPOILT}/{name.replace('/', '-')}", blob.content if blob else b"")
            return []

    def drain_blobs(self, target: Landing) -> None:
        """Write waiting blobs to the landing."""
        for name in self._local.names(_BLOBS):
            blob = self._local.read(f"{_BLOBS}/{name}")
            if blob is None:
                continue
            _create(target, unquote(name), blob.content)
            self._local.delete(f"{_BLOBS}/{name}")

    def _put(self, name: str, content: bytes) -> None:
        _create(self._local, name, content)


def _create(landing: Landing, name: str, content: bytes) -> None:
    try:
        landing.write(name, content, None)
    except Conflict:
        return  # names carry a digest of the content: it is the same
