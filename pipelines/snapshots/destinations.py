"""The destinations of a run, opened from the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.snapshots.landing.files import SnapshotFiles
from pipelines.snapshots.landing.local import LocalLanding
from pipelines.snapshots.landing.port import Landing
from pipelines.snapshots.landing.spool import Spool
from pipelines.snapshots.settings import SnapshotSettings
from pipelines.snapshots.warehouse.port import Warehouse
from shared.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Destinations:
    """Attributes:
    files: rows in `landing`.
    state: of alerts; local, as the spool.
    """

    spool: Spool
    landing: Landing
    files: SnapshotFiles
    state: Landing
    warehouse: Warehouse | None = None


def open_landing(settings: SnapshotSettings) -> Landing:
    """Parquet files below `snapshot_dir`, or the container that `snapshot_landing` names."""
    if not settings.snapshot_landing:
        return LocalLanding(parquet_dir(settings))
    # Imported here: without object storage a start is a second faster.
    from pipelines.snapshots.landing.azure import AzureLanding  # noqa: PLC0415

    return AzureLanding(
        settings.snapshot_landing, settings.azure_storage_connection_string.get_secret_value()
    )


def parquet_dir(settings: SnapshotSettings) -> Path:
    return settings.snapshot_dir / "parquet"


def make_directory(settings: SnapshotSettings) -> None:
    """Make the directory of all local files.

    Raises:
        SettingsError: it cannot be made.
    """
    try:
        settings.snapshot_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"SNAPSHOT_DIR: {settings.snapshot_dir} cannot be made ({error.strerror}); name a directory"
        ) from None


@contextmanager
def open_destinations(settings: SnapshotSettings) -> Iterator[Destinations]:
    """Open the destinations of the settings, without a request to object storage or warehouse.

    Raises:
        SettingsError, LandingMisconfigured: a destination that cannot be used.
    """
    make_directory(settings)
    landing = open_landing(settings)
    warehouse: Warehouse | None = None
    if settings.snowflake_account:
        from pipelines.snapshots.warehouse.snowflake import SnowflakeWarehouse  # noqa: PLC0415

        warehouse = SnowflakeWarehouse(settings)
    try:
        yield Destinations(
            spool=Spool(settings.snapshot_dir / "spool"),
            landing=landing,
            files=SnapshotFiles(landing, settings.interval_ms),
            state=LocalLanding(settings.snapshot_dir / "state"),
            warehouse=warehouse,
        )
    finally:
        if warehouse is not None:
            warehouse.close()
