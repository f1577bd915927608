"""The SQLite file of a store: whose it is, how it is kept, which tables it has, whether it is still there."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from consumers.measurements import MEASUREMENTS
from consumers.stores.sqlite_errors import errors_named
from consumers.stores.sqlite_schema import create_table, missing_columns
from shared.errors import StoreMisconfigured
from shared.private_files import make_private, narrow

# "CrSt": tells our files from those of other programs (PRAGMA application_id).
APPLICATION_ID: Final = 0x43725374
Synchronous = Literal["normal", "full"]
_MINUTE_NS: Final = 60 * 10**9
# What SQLite keeps beside a file: without the file it is of no use, and would be taken for part of a new one.
_COMPANIONS: Final = ("-wal", "-shm")


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Which files a store is: its own and the write-ahead log's.

    SQLite goes on writing to a file that has been removed or replaced, and says nothing.
    """

    inodes: tuple[tuple[Path, tuple[int, int]], ...]

    @classmethod
    def of(cls, path: Path) -> Self:
        """That of the files that are there now."""
        return cls._of(path, Path(f"{path}-wal"))

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Without the log, which comes and goes with those who write."""
        return cls._of(path)

    @classmethod
    def _of(cls, *files: Path) -> Self:
        return cls(tuple((file, inode) for file in files if (inode := _inode(file)) is not None))

    def require_same(self) -> None:
        """Raises StoreMisconfigured if they are not there any more."""
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
    """The newest time of the exchange that the file remembers, to the minute; None if it has known none.

    It is not that of the newest row, which may be a time that was never believed.
    """
    (minute,) = connection.execute("PRAGMA user_version").fetchone()
    return minute * _MINUTE_NS if minute > 0 else None


def remember_time(connection: sqlite3.Connection, newest_ns: int | None) -> None:
    """Keep it in the file; inside a transaction."""
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
    # What cannot be looked at here cannot be opened either, and is named then.
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
            # Only now it is known to be ours; one of an older version may be open to others.
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
    # "full" waits until each commit is on the disk; "normal" only before the log goes into the file, so that
    # a power cut takes the commits since then. Either leaves a file that is whole.
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for measurement in MEASUREMENTS.values():
        connection.execute(create_table(measurement))
        for statement in missing_columns(connection, measurement):
            connection.execute(statement)
    connection.execute("COMMIT")
