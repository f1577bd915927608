"""The SQLite file of a store: opening, identity, application id, errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from consumers.measurements import MEASUREMENTS
from consumers.stores.sqlite_schema import create_table, missing_columns
from shared.errors import StoreError, StoreMisconfigured, StoreUnavailable
from shared.files import make_private, narrow

# First words of SQLite's error names → way out.
_TRANSIENT: Final = {
    "SQLITE_BUSY": "another process writes to it; stop that one",
    "SQLITE_LOCKED": "another process writes to it; stop that one",
    "SQLITE_FULL": "the disk is full; free some space",
    "SQLITE_READONLY": "it cannot be written; give the file and its directory write permission",
    "SQLITE_IOERR": "the disk fails; check that it is mounted and has space",
    "SQLITE_NOMEM": "memory is short; free some",
}
_FATAL: Final = {
    "SQLITE_CANTOPEN": "it cannot be opened; name a file in a directory that exists and may be written",
    "SQLITE_NOTADB": "it is not an SQLite database; name another file, or move this one away",
    "SQLITE_CORRUPT": "it is damaged; move it away and start with a new one, or restore a copy",
    "SQLITE_PERM": "it may not be opened; give permission, or name another file",
    "SQLITE_AUTH": "it may not be opened; give permission, or name another file",
}
_RETRY_AFTER_S: Final = 1.0
# "CrSt", which identifies our files (PRAGMA application_id).
APPLICATION_ID: Final = 0x43725374
Synchronous = Literal["normal", "full"]
_MINUTE_NS: Final = 60 * 10**9
# SQLite's files beside a database: useless without it, and mistaken for part of a new one.
_COMPANIONS: Final = ("-wal", "-shm")


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
        StoreUnavailable: locked, full or read-only; retry once that is fixed.
        StoreMisconfigured: not a database, or not one of ours.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise error_of(error, path) from None


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Inodes of a store's database and write-ahead log.

    SQLite keeps writing to a file that was removed or replaced, without an error.
    """

    inodes: tuple[tuple[Path, tuple[int, int]], ...]

    @classmethod
    def of(cls, path: Path) -> Self:
        """The present files."""
        return cls._of(path, Path(f"{path}-wal"))

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """The present database without its log, which writers create and remove."""
        return cls._of(path)

    @classmethod
    def _of(cls, *files: Path) -> Self:
        return cls(tuple((file, inode) for file in files if (inode := _inode(file)) is not None))

    def require_same(self) -> None:
        """Raise StoreMisconfigured if they were removed or replaced."""
        for file, inode in self.inodes:
            if _inode(file) != inode:
                raise StoreMisconfigured(
                    f"SQLITE_PATH: {file} was removed or replaced while it was written to, and with it what "
                    "was stored; put it back while nothing runs, or go on with a new one "
                    "(`cryptostream ledger --verify` says what is missing)"
                )


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def newest_time_ns(connection: sqlite3.Connection) -> int | None:
    """The newest accepted time of the exchange, to the minute; None if there was none.

    The newest row may be later: its time may be a jump that was never accepted.
    """
    (minute,) = connection.execute("PRAGMA user_version").fetchone()
    return minute * _MINUTE_NS if minute > 0 else None


def remember_time(connection: sqlite3.Connection, newest_ns: int | None) -> None:
    """Save the newest accepted time in the file, inside a transaction."""
    if newest_ns is None:
        return
    (before,) = connection.execute("PRAGMA user_version").fetchone()
    minute = newest_ns // _MINUTE_NS
    if minute > before:
        connection.execute(f"PRAGMA user_version = {minute}")


def open_file(path: Path, busy_timeout_s: float, synchronous: Synchronous) -> sqlite3.Connection:
    """A connection that writes; makes the file, its directory and its tables where they are missing.

    Raises:
        StoreUnavailable, StoreMisconfigured: as `SqliteStore`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreMisconfigured(
            f"SQLITE_PATH: {path}: its directory cannot be made ({error.strerror}); name another"
        ) from None
    # A file that fails here fails to open too, and is reported then.
    with suppress(OSError):
        if not path.exists() or path.stat().st_size == 0:
            for ending in _COMPANIONS:
                Path(f"{path}{ending}").unlink(missing_ok=True)
        # SQLite gives its companions the mode of the file itself.
        if not path.exists():
            make_private(path)
    with errors_named(path):
        connection = sqlite3.connect(
            path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            _set_up(connection, path, synchronous)
            # Only now it is known to be ours; a file of an older version may be readable by others.
            for ending in ("", *_COMPANIONS):
                narrow(Path(f"{path}{ending}"))
        except BaseException:
            connection.close()
            raise
    return connection


def _set_up(connection: sqlite3.Connection, path: Path, synchronous: Synchronous) -> None:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application_id != APPLICATION_ID:
        raise StoreMisconfigured(
            f"SQLITE_PATH: {path}: is another program's database; name another file, or move this one away"
        )
    # A reader never waits for the writer, nor the writer for it; a commit survives the end of the process.
    connection.execute("PRAGMA journal_mode = WAL")
    # "full" syncs each commit; "normal" syncs only before the log is merged into the file, so that a power
    # cut loses the commits since then. The file is consistent either way.
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for measurement in MEASUREMENTS.values():
        connection.execute(create_table(measurement))
        for statement in missing_columns(connection, measurement):
            connection.execute(statement)
    connection.execute("COMMIT")
