"""Tests of the snapshot pipeline need its extras: without them they are skipped, where that is allowed."""

from __future__ import annotations

import importlib.util
import os
from typing import Final

import pytest

_PACKAGES: Final = ("prefect", "pandera", "duckdb", "adlfs", "snowflake", "fakesnow")


def require_snapshot_extras() -> None:
    """Skip the module that calls this, saying what is missing; where skips are forbidden, fail it."""
    absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if not absent:
        return
    reason = f"{', '.join(absent)} not installed; get the snapshot pipeline's extras by: make setup-snapshots"
    if os.environ.get("CRYPTOSTREAM_FORBID_SKIPS"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)
