"""Everything a run writes to, opened from the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.snapshots.landing.files import SnapshotFiles
from pipelines.snapshots.landing.local import LocalLanding
from pipelines.snapshots.landing.port import LandingPlace
from pipelines.snapshots.landing.spool import Spool
from pipelines.snapshots.settings import SnapshotSettings
from pipelines.snapshots.warehouse.port import Warehouse
from shared.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Places:
    """Attributes:
    files: rows in `place`.
    state: what is known of alerts; local, as the spool.
    """

    spool: Spool
    place: LandingPlace
    files: SnapshotFiles
    state: LandingPlace
    warehouse: Warehouse | None = None


def landing_place(settings: SnapshotSettings) -> LandingPlace:
    """Parquet files below `snapshot_dir`, or the container that `snapshot_landing` names."""
    if not settings.snapshot_landing:
        return LocalLanding(parquet_dir(settings))
    # Imported where it is used: a laptop without object storage starts a second earlier.
    from pipelines.snapshots.landing.azure import AzureLanding  # noqa: PLC0415

    return AzureLanding(
        settings.snapshot_landing, settings.azure_storage_connection_string.get_secret_value()
    )


def parquet_dir(settings: SnapshotSettings) -> Path:
    return settings.snapshot_dir / "parquet"


def make_directory(settings: SnapshotSettings) -> None:
    """The directory that everything local is in.

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
def open_places(settings: SnapshotSettings) -> Iterator[Places]:
    """Open what the settings name; nothing is asked of object storage or warehouse yet.

    Raises:
        SettingsError, LandingMisconfigured: they name what cannot be.
    """
    make_directory(settings)
    place = landing_place(settings)
    warehouse: Warehouse | None = None
    if settings.snowflake_account:
        from pipelines.snapshots.warehouse.snowflake import SnowflakeWarehouse  # noqa: PLC0415

        warehouse = SnowflakeWarehouse(settings)
    try:
        yield Places(
            spool=Spool(settings.snapshot_dir / "spool"),
            place=place,
            files=SnapshotFiles(place, settings.interval_ms),
            state=LocalLanding(settings.snapshot_dir / "state"),
            warehouse=warehouse,
        )
    finally:
        if warehouse is not None:
            warehouse.close()
