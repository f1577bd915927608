"""Extraction alone: observed rows as JSON lines; nothing is kept, nothing compared with the last day."""

from __future__ import annotations

import asyncio
import sys
import time

import orjson

from pipelines.snapshots.extract import Failure, open_exchange
from pipelines.snapshots.frame import record_of
from pipelines.snapshots.observation import EXCHANGE, Observation, complete_row
from pipelines.snapshots.rows import SnapshotRow, missing
from pipelines.snapshots.settings import SnapshotSettings, load_snapshot_settings
from pipelines.snapshots.slots import slot_at
from shared.errors import InvalidMessage


def main() -> int:
    """0 if every symbol could be observed, else 1.

    Raises:
        SettingsError: wrong settings.
    """
    return asyncio.run(_extract(load_snapshot_settings()))


async def _extract(settings: SnapshotSettings) -> int:
    slot_ms = slot_at(time.time_ns() // 1_000_000, settings.interval_ms)
    deadline_ms = slot_ms + settings.interval_ms
    failed = False
    async with open_exchange(settings.binance_rest_url, settings.share) as exchange:
        for symbol in settings.snapshot_symbols:
            outcome = await exchange.observe_within(symbol, deadline_ms)
            row = _row(outcome, slot_ms, exchange.clock.now_ms())
            failed = failed or row.status != "complete"
            sys.stdout.write(orjson.dumps(record_of(row), default=str).decode() + "\n")
    return 1 if failed else 0


def _row(outcome: Observation | Failure, slot_ms: int, now_ms: int) -> SnapshotRow:
    if isinstance(outcome, Failure):
        return missing(EXCHANGE, outcome.symbol, slot_ms, outcome.reason, "manual", now_ms)
    try:
        return complete_row(outcome, slot_ms, "manual")
    except InvalidMessage as error:
        return missing(EXCHANGE, outcome.symbol, slot_ms, str(error), "manual", now_ms)
