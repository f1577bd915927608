"""A temporary database on disk, private to the process and gone with it."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from shared.errors import CryptoStreamError

_CACHE_KIB: Final = 4_096
_ROWS_AT_ONCE: Final = 1_000


class Temporary:
    """Tables in a file without a name, in the system's folder for such files (TMPDIR).

    Raises:
        CryptoStreamError: there is no room.
    """

    def __init__(self, schema: str) -> None:
        try:
            number, name = tempfile.mkstemp(prefix="cryptostream-", suffix=".db")
            os.close(number)
            self._database = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
            # Nothing is worth keeping: no journal, which would need a name, and no syncs.
            self._database.executescript(
                f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE;"
                f"PRAGMA temp_store=FILE; PRAGMA cache_size=-{_CACHE_KIB}; {schema}"
            )
            Path(name).unlink()
            self._database.execute("BEGIN")
        except (OSError, sqlite3.Error) as error:
            raise _no_room(error) from None
        self._waiting: dict[str, list[Sequence[Any]]] = {}

    def add(self, statement: str, row: Sequence[Any]) -> None:
        """Enter a row, batched with others; queries see it."""
        rows = self._waiting.setdefault(statement, [])
        rows.append(row)
        if len(rows) >= _ROWS_AT_ONCE:
            self._enter(statement)

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows of a query, read as they are needed; nothing may be entered meanwhile."""
        self._flush()
        try:
            yield from self._database.execute(query, parameters)
        except sqlite3.Error as error:
            raise _no_room(error) from None

    def row(self, query: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query."""
        return next(self.rows(query, parameters), None)

    def do(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Execute a statement at once; number of rows changed."""
        self._flush()
        try:
            return self._database.execute(statement, parameters).rowcount
        except sqlite3.Error as error:
            raise _no_room(error) from None

    def _flush(self) -> None:
        for statement in [statement for statement, rows in self._waiting.items() if rows]:
            self._enter(statement)

    def _enter(self, statement: str) -> None:
        rows, self._waiting[statement] = self._waiting[statement], []
        try:
            self._database.executemany(statement, rows)
        except sqlite3.Error as error:
            raise _no_room(error) from None


def _no_room(error: OSError | sqlite3.Error) -> CryptoStreamError:
    return CryptoStreamError(
        f"{tempfile.gettempdir()}: the recording's database cannot be kept there ({error});"
        " make room, or name another folder by TMPDIR"
    )
