"""What the scripts of pipelines/Binance do: parts of the command under the names that users type."""

from __future__ import annotations

import importlib
import os

from cryptostream.cli import main as cryptostream
from cryptostream.commands.snapshots import require_extras
from shared.command import guarded


def take_one_slot() -> int:
    """The exit code of a run: at the server of PREFECT_API_URL, else without any server."""
    if not os.environ.get("PREFECT_API_URL"):
        return cryptostream(["snapshots", "run"])
    return guarded(lambda: _main_of("once"))


def extract() -> int:
    """0 if every symbol could be observed; one JSON line each."""
    return guarded(lambda: _main_of("extract"))


def _main_of(module: str) -> int:
    require_extras()
    return int(importlib.import_module(f"cryptostream.snapshots.{module}").main())
