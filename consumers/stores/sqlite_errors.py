"""What SQLite's errors mean: which are transient, and which say that SQLITE_PATH names the wrong thing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shared.errors import StoreError, StoreMisconfigured, StoreUnavailable

# First words of SQLite's error names → way out.
_TRANSIENT: Final = {
    "SQLITE_BUSY": "another process writes to it; stop that one",
    "SQLITE_LOCKED": "another process writes to it; stop that one",
    "SQLITE_FULL": "the disk is full; free some space",
    "SQLITE_READONLY": "it cannot be written; give the file and its directory write permission",
    "SQLITE_IOERR": "the disk refuses; see that it is there and has space",
    "SQLITE_NOMEM": "memory is short; free some",
}
_FATAL: Final = {
    "SQLITE_CANTOPEN": "it cannot be opened; name a file in a directory that exists and may be written",
    "SQLITE_NOTADB": "it is not an SQLite database; name another file, or move this one away",
    "SQLITE_CORRUPT": "it is damaged; move it away and start anew, or restore a copy",
    "SQLITE_PERM": "it may not be opened; give permission, or name another file",
    "SQLITE_AUTH": "it may not be opened; give permission, or name another file",
}
_RETRY_AFTER_S: Final = 1.0


def error_of(error: sqlite3.Error, path: Path) -> StoreError:
    """The store's error for one of SQLite's."""
    name = getattr(error, "sqlite_errorname", "") or ""
    for known, way_out in _TRANSIENT.items():
        if name.startswith(known):
            return StoreUnavailable(f"SQLITE_PATH: {path}: {way_out} ({error})", _RETRY_AFTER_S)
    for known, way_out in _FATAL.items():
        if name.startswith(known):
            return StoreMisconfigured(f"SQLITE_PATH: {path}: {way_out} ({error})")
    return StoreMisconfigured(
        f"SQLITE_PATH: {path}: cannot be used as a store ({error}); name another file, or move this one away"
    )


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into the store's.

    Raises:
        StoreUnavailable: locked, full, read-only: try again once that is mended.
        StoreMisconfigured: not a database, or not one of ours.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise error_of(error, path) from None
