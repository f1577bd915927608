"""Settings of the snapshot commands: the environment's, and what the command line says instead."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from pipelines.snapshots.settings import SnapshotSettings, load_snapshot_settings

# Simulated prices never mix with real ones (docs/decisions/data-directories.md).
_SIMULATED: Final = Path("data/simulator/snapshots")


def settings_of(args: argparse.Namespace, **more: Any) -> SnapshotSettings:
    """The settings that a part runs with.

    Raises:
        SettingsError: a wrong value.
    """
    directory = args.dir
    if directory is None and getattr(args, "source", "live") == "simulator":
        directory = _SIMULATED
    return load_snapshot_settings(
        snapshot_symbols=getattr(args, "symbols", None),
        snapshot_dir=directory,
        snapshot_landing=args.landing,
        snapshot_cron=getattr(args, "cron", None),
        **more,
    )
