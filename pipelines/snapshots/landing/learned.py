"""Bounds learned from the last closed day, kept beside the rows so that a run need not read them again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import orjson

from pipelines.snapshots.landing.port import Conflict, Landing
from pipelines.snapshots.observation import EXCHANGE
from pipelines.snapshots.quality.bounds import Bounds

_NAME: Final = f"_learned/exchange={EXCHANGE}/bounds.json"


def save_bounds(landing: Landing, day: date, bounds: Mapping[str, Bounds]) -> None:
    """Keep the bounds of a day, unless those of a later day are kept."""
    blob = landing.read(_NAME)
    if load_bounds(landing)[0] > day.isoformat():
        return
    entries = {symbol: [bound.spread_percent, bound.jump] for symbol, bound in bounds.items()}
    content = orjson.dumps({"day": day.isoformat(), "bounds": entries})
    try:
        landing.write(_NAME, content, blob.version if blob else None)
    except Conflict:
        return  # another run saved them


def load_bounds(landing: Landing) -> tuple[str, dict[str, Bounds]]:
    """The day that was learned from, as YYYY-MM-DD, and bounds by symbol.

    "" and none before a day was closed, or if the file is unreadable: the next closed day replaces it.
    """
    blob = landing.read(_NAME)
    try:
        kept: Any = orjson.loads(blob.content) if blob else {"day": "", "bounds": {}}
        bounds = {symbol: Bounds(float(two[0]), float(two[1])) for symbol, two in kept["bounds"].items()}
        return str(kept["day"]), bounds
    except (orjson.JSONDecodeError, AttributeError, KeyError, IndexError, TypeError, ValueError):
        return "", {}
