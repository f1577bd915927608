"""The port of a warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pipelines.snapshots.rows import SnapshotRow
from shared.errors import CryptoStreamError


class WarehouseError(CryptoStreamError):
    """Nothing was loaded; rows wait in the spool."""


class WarehouseMisconfigured(WarehouseError):
    """Permanent; the message names the setting to fix."""

    exit_code = 2


class Warehouse(Protocol):
    """The second destination, for SQL."""

    def load(self, rows: Sequence[SnapshotRow]) -> None:
        """Merge rows by their key, all or none; idempotent.

        Raises:
            WarehouseError: nothing was merged.
        """

    def close(self) -> None:
        """End the session."""
