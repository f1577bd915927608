"""`cryptostream snapshots run`: one slot, in this process, without any server."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from contextlib import AsyncExitStack
from typing import TextIO

import orjson

from cryptostream.output import write_columns
from cryptostream.snapshots.settings import settings_of
from cryptostream.snapshots.simulated import simulated_exchange
from pipelines.snapshots.extract import open_exchange
from pipelines.snapshots.frame import record_of
from pipelines.snapshots.places import open_places
from pipelines.snapshots.result import RunResult
from pipelines.snapshots.run import no_stream, run_slot
from pipelines.snapshots.settings import SnapshotSettings
from pipelines.snapshots.slots import slot_at, slot_text
from pipelines.snapshots.stream import stream_closes
from pipelines.snapshots.table import HEADINGS, RIGHT, lines_of, summary_of
from shared.errors import UsageError
from shared.logs import set_up_logging


def run(args: argparse.Namespace) -> int:
    """0 if every symbol's row is complete and has landed, 1 if not.

    Raises:
        UsageError, SettingsError: wrong arguments or settings.
    """
    settings = settings_of(args)
    set_up_logging(settings.log_level, settings.log_format)
    slot_ms = _slot(args.slot, settings)
    result = asyncio.run(_run(settings, slot_ms, simulated=args.source == "simulator"))
    show(result, args.format, sys.stdout)
    return 0 if result.complete else 1


async def _run(settings: SnapshotSettings, slot_ms: int, *, simulated: bool) -> RunResult:
    async with AsyncExitStack() as stack:
        places = stack.enter_context(open_places(settings))
        url = settings.binance_rest_url
        if simulated:
            url = await stack.enter_async_context(
                simulated_exchange(settings.snapshot_dir, settings.snapshot_symbols)
            )
        exchange = await stack.enter_async_context(open_exchange(url, settings.share))
        # A simulated market is another one than that of any stream.
        closes = no_stream if simulated else stream_closes
        return await run_slot(settings, exchange, places, slot_ms, "manual", stream_closes=closes)


def show(result: RunResult, form: str, out: TextIO) -> None:
    """Rows and what became of them; JSON is one object a row."""
    if form == "json":
        for row in result.rows:
            out.write(orjson.dumps(record_of(row), default=str).decode() + "\n")
        return
    out.write(f"slot {slot_text(result.slot_ms)} UTC, {result.origin}\n")
    write_columns(HEADINGS, lines_of(result.rows), out, right=RIGHT)
    out.write(summary_of(result) + "\n")


def _slot(asked_ns: int | None, settings: SnapshotSettings) -> int:
    now_ms = time.time_ns() // 1_000_000
    if asked_ns is None:
        return slot_at(now_ms, settings.interval_ms)
    slot_ms = asked_ns // 1_000_000
    if slot_ms % settings.interval_ms:
        raise UsageError(f"--slot: {slot_text(slot_ms)} is no slot of SNAPSHOT_CRON={settings.snapshot_cron}")
    if slot_ms > now_ms:
        raise UsageError(f"--slot: {slot_text(slot_ms)} UTC is still to come")
    return slot_ms
