"""Opening the SQLite file of a store for writing: whose it is, how it is kept, which tables it has."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from consumers.measurements import MEASUREMENTS
from consumers.stores.sqlite_errors import errors_named
from consumers.stores.sqlite_schema import create_table, missing_columns
from shared.errors import StoreMisconfigured

# "CrSt": tells our files from those of other programs (PRAGMA application_id).
APPLICATION_ID: Final = 0x43725374


def open_file(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
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
    with errors_named(path):
        connection = sqlite3.connect(
            path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            _set_up(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application_id != APPLICATION_ID:
        raise StoreMisconfigured(
            f"SQLITE_PATH: {path}: is another program's database; name another file, or move this one away"
        )
    # A reader never waits for the writer, nor the writer for it; a commit survives the end of the process,
    # a power cut may take the last ones (they are read from Kafka again only if not yet committed there).
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for measurement in MEASUREMENTS.values():
        connection.execute(create_table(measurement))
        for statement in missing_columns(connection, measurement):
            connection.execute(statement)
    connection.execute("COMMIT")
