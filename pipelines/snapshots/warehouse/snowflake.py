"""Snowflake as a warehouse: PUT to a stage, COPY into a temporary table, check, MERGE by key."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import snowflake.connector
from snowflake.connector.errors import DatabaseError, Error, OperationalError

from pipelines.snapshots.frame import parquet_of
from pipelines.snapshots.rows import SnapshotRow
from pipelines.snapshots.settings import SnapshotSettings
from pipelines.snapshots.warehouse import statements
from pipelines.snapshots.warehouse.port import WarehouseError, WarehouseMisconfigured
from shared.files import read_small_file
from shared.settings import LONGEST_SECRET

# The connector's default is to wait for ever.
_LOGIN_TIMEOUT_S: Final = 20
_NETWORK_TIMEOUT_S: Final = 60
# It logs its version and domain at every login.
logging.getLogger("snowflake.connector").setLevel(logging.WARNING)


class SnowflakeWarehouse:
    """One session, opened on demand, and again after a failure."""

    def __init__(self, settings: SnapshotSettings) -> None:
        self._settings = settings
        self._session: Any = None
        self._cursor: Any = None

    def create(self) -> None:
        """Create database, schema, table and stage where missing.

        Raises:
            WarehouseError: it cannot be reached, or the role lacks a privilege.
        """
        with self._explained():
            for sql in statements.schema_sql(
                self._settings.snowflake_database, self._settings.snowflake_schema
            ):
                self._execute(sql)

    def load(self, rows: Sequence[SnapshotRow]) -> None:
        if not rows:
            return
        content = parquet_of(rows)
        folder = hashlib.sha256(content).hexdigest()[:24]
        with self._explained(), tempfile.TemporaryDirectory(prefix="snapshots-") as directory:
            path = Path(directory) / "rows.parquet"
            path.write_bytes(content)
            # 1. Upload the file to the stage.
            self._execute(statements.put_sql(path.as_posix(), folder))
            # 2. Copy it into a staging table of this load alone.
            self._execute(statements.staging_sql(folder))
            try:
                self._execute(statements.copy_sql(folder))
                # 3. Check the copied rows.
                copied, keys, nulls = self._execute(statements.check_sql(folder)).fetchone()
                if (copied, keys, nulls) != (len(rows), len(rows), 0):
                    raise WarehouseError(
                        f"Snowflake: of {len(rows)} rows {copied} were copied, {keys} keys, {nulls} with "
                        "nulls; nothing was merged"
                    )
                # 4. Merge in one statement, all or none.
                self._execute(statements.merge_sql(folder))
            finally:
                # The next try has more rows, so another staging table: this one would stay for ever.
                self._execute(statements.drop_sql(folder))

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _execute(self, sql: str) -> Any:
        if self._session is None:
            self._session = self._connect()
            self._cursor = self._session.cursor()
        return self._cursor.execute(sql)

    def _connect(self) -> Any:
        arguments = connection_arguments(self._settings)
        if self._settings.snowflake_private_key_file is not None:
            _check_key(self._settings.snowflake_private_key_file)
        try:
            return snowflake.connector.connect(**arguments)
        except (ValueError, TypeError) as error:
            # The key is read before anything is sent: it is invalid, or the passphrase is wrong.
            raise WarehouseMisconfigured(
                f"SNOWFLAKE_PRIVATE_KEY_FILE: {self._settings.snowflake_private_key_file} cannot be used "
                f"({' '.join(str(error).split())[:100]}); give an unencrypted PKCS#8 key in PEM, or its "
                "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"
            ) from None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Error as error:
            text = " ".join(str(error).split())[:300]
            self._session = None
            if isinstance(error, OperationalError) or not isinstance(error, DatabaseError):
                raise WarehouseError(f"Snowflake: {text}; rows wait in the spool") from None
            raise WarehouseMisconfigured(
                f"Snowflake: {text}; check SNOWFLAKE_ACCOUNT, _USER, _ROLE, _WAREHOUSE and the key, and that "
                "`cryptostream snapshots schema --apply` was run"
            ) from None
        except OSError as error:
            self._session = None
            raise WarehouseError(
                f"Snowflake: {type(error).__name__}: {error}; rows wait in the spool"
            ) from None


def _check_key(path: Path) -> None:
    """The connector reads to the end of the file, and would wait for ever on a pipe."""
    try:
        read_small_file(path, LONGEST_SECRET)
    except OSError as error:
        raise WarehouseMisconfigured(
            f"SNOWFLAKE_PRIVATE_KEY_FILE: {path} cannot be read ({error.strerror}); name the key's file"
        ) from None


def connection_arguments(settings: SnapshotSettings) -> dict[str, Any]:
    """Arguments of the login: by key pair, or by a programmatic access token.

    Raises:
        WarehouseMisconfigured: neither is set.
    """
    arguments: dict[str, Any] = {
        "account": settings.snowflake_account,
        "user": settings.snowflake_user,
        "role": settings.snowflake_role or None,
        "warehouse": settings.snowflake_warehouse or None,
        "database": settings.snowflake_database,
        "schema": settings.snowflake_schema,
        "autocommit": True,
        "login_timeout": _LOGIN_TIMEOUT_S,
        "network_timeout": _NETWORK_TIMEOUT_S,
        "session_parameters": {"QUERY_TAG": "cryptostream-snapshots", "TIMEZONE": "UTC"},
    }
    token = settings.snowflake_token.get_secret_value()
    if settings.snowflake_private_key_file is not None:
        passphrase = settings.snowflake_private_key_passphrase.get_secret_value()
        return arguments | {
            "authenticator": "SNOWFLAKE_JWT",
            "private_key_file": str(settings.snowflake_private_key_file),
            "private_key_file_pwd": passphrase.encode() if passphrase else None,
        }
    if token:
        return arguments | {"authenticator": "PROGRAMMATIC_ACCESS_TOKEN", "token": token}
    raise WarehouseMisconfigured(
        "SNOWFLAKE_ACCOUNT: set, but no way to log in; set SNOWFLAKE_PRIVATE_KEY_FILE or SNOWFLAKE_TOKEN"
    )
