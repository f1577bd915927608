"""Where `run` keeps its data, and how the other commands find it.

Each kind of source has its own directory, so that simulated prices never mix with real ones: `data/live`,
`data/simulator`, `data/replay`. `data/latest` names the one used last.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import orjson

from shared.errors import UsageError
from shared.settings import Settings

DATA_ROOT: Final = Path("data")
STORE_FILE: Final = "cryptostream.db"
SOURCE_FILE: Final = "source.json"
LOCK_FILE: Final = "run.lock"
_LATEST: Final = DATA_ROOT / "latest"
_INFLUX: Final = ("influx_url", "influx_org", "influx_bucket_market", "influx_bucket_ticks")


def default_data_dir(source_kind: str) -> Path:
    """Data directory of a source kind: "live", "simulator" or "replay"."""
    return DATA_ROOT / source_kind


def remember_latest(data_dir: Path) -> None:
    """Make `data_dir` the default of `query`."""
    try:
        DATA_ROOT.mkdir(parents=True, exist_ok=True)
        # A path need not be UTF-8.
        _LATEST.write_bytes(os.fsencode(data_dir.resolve()))
    except OSError as error:
        raise UsageError(
            f"{_LATEST}: cannot be written ({error.strerror}); start in a directory that can be written"
        ) from None


def latest_store_path() -> Path | None:
    """The SQLite file of the last `run` from the working directory; None if there was none."""
    try:
        named = os.fsdecode(_LATEST.read_bytes()).strip()
    except OSError:
        return None
    return Path(named) / STORE_FILE if named and "\0" not in named else None


def latest_data_dir() -> Path | None:
    """The data directory of the last `run` from the working directory; None if there was none."""
    path = latest_store_path()
    return None if path is None else path.parent


def broker_outlives_run(data_dir: Path) -> bool:
    """Whether the last run in this directory used an external broker."""
    return _kept(data_dir).get("broker") == "external"


def has_ended(data_dir: Path) -> bool:
    """Whether the run in this directory has ended: the process in its lock file is gone."""
    try:
        os.kill(int((data_dir / LOCK_FILE).read_bytes()), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError):
        return False  # not a run's directory, or another user's process
    return False


def influx_of(settings: Settings) -> dict[str, str] | None:
    """The settings that name the InfluxDB of a run; None for another store."""
    return None if settings.store != "influxdb" else {name: getattr(settings, name) for name in _INFLUX}


def influx_of_run(data_dir: Path) -> dict[str, str] | None:
    """Settings of the InfluxDB that the last run in this directory wrote to; None for another store."""
    kept = _kept(data_dir).get("influx")
    if not isinstance(kept, dict) or kept.keys() != set(_INFLUX):
        return None
    return {name: str(value) for name, value in kept.items()}


def _kept(data_dir: Path) -> dict[str, Any]:
    try:
        kept = orjson.loads((data_dir / SOURCE_FILE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return kept if isinstance(kept, dict) else {}
