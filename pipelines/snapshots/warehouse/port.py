"""The port of a warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pipelines.snapshots.rows import SnapshotRow
from shared.errors import CryptoStreamError


class WarehouseError(CryptoStreamError):
    """It took nothing; rows wait in the spool."""


class WarehouseMisconfigured(WarehouseError):
    """No try will help; the message names the setting to blame."""

    exit_code = 2


class Warehouse(Protocol):
    """The second landing place, where SQL is spoken."""

    def load(self, rows: Sequence[SnapshotRow]) -> None:
        """Merge rows by their key, all or none; repeated, it changes nothing.

        Raises:
            WarehouseError: they are not in the table.
        """

    def close(self) -> None:
        """End the session."""
