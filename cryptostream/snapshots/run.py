"""`cryptostream snapshots run`: one slot, in this process or as a run of a Prefect server."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from contextlib import AsyncExitStack
from typing import TextIO

import orjson

from cryptostream.output import write_columns
from cryptostream.snapshots.prefect_server import ServerUnavailable
from cryptostream.snapshots.source import settings_of, simulated_exchange
from cryptostream.snapshots.stream import stream_closes
from pipelines.snapshots.destinations import open_destinations
from pipelines.snapshots.extract import SnapshotExchange, open_exchange
from pipelines.snapshots.frame import record_of
from pipelines.snapshots.login import take_login
from pipelines.snapshots.observation import EXCHANGE, complete_row
from pipelines.snapshots.quiet import quiet
from pipelines.snapshots.result import RunResult
from pipelines.snapshots.rows import SnapshotRow, missing
from pipelines.snapshots.run import no_stream, run_slot
from pipelines.snapshots.settings import SnapshotSettings, load_snapshot_settings
from pipelines.snapshots.slots import slot_at, slot_text
from pipelines.snapshots.steps import observe
from pipelines.snapshots.table import HEADINGS, RIGHT, lines_of, summary_of
from shared.errors import ExchangeError, InvalidMessage, UsageError
from shared.logs import set_up_logging


def run(args: argparse.Namespace) -> int:
    """Exit code 0 if every symbol's row is complete and has landed, else 1.

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
        destinations = stack.enter_context(open_destinations(settings))
        url = settings.binance_rest_url
        if simulated:
            url = await stack.enter_async_context(simulated_exchange(settings))
        exchange = await stack.enter_async_context(open_exchange(url, settings.share))
        # No stream carries the simulated market.
        closes = no_stream if simulated else stream_closes
        return await run_slot(settings, exchange, destinations, slot_ms, "manual", stream_closes=closes)


def show(result: RunResult, form: str, out: TextIO) -> None:
    """Print the rows and their fate; JSON is one object per row."""
    if form == "json":
        for row in result.rows:
            out.write(_json(row))
        return
    out.write(f"slot {slot_text(result.slot_ms)} UTC, {result.origin}\n")
    leaving = ("mean of 5", "spread %", "24 h %")
    write_columns(HEADINGS, lines_of(result.rows), out, right=RIGHT, leaving=leaving, whole="json")
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


def run_on_server() -> int:
    """One slot as a run of the server of PREFECT_API_URL, by the settings of the environment.

    Exit code 0 if every row is complete and has landed, else 1.

    Raises:
        SettingsError: wrong settings.
        ServerUnavailable: the server does not answer.
    """
    load_snapshot_settings()  # wrong settings end it before a run begins
    quiet()
    take_login()
    # After the environment is set.
    import httpx  # noqa: PLC0415

    from cryptostream.snapshots.flow import market_snapshot  # noqa: PLC0415

    try:
        state = asyncio.run(market_snapshot(return_state=True))
    except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
        raise ServerUnavailable(os.environ["PREFECT_API_URL"], error) from None
    sys.stdout.write(f"{state.name}: {state.message}\n")
    return 0 if state.name == "Completed" else 1


async def extract() -> int:
    """Print the observed rows as JSON lines; nothing is stored, nor compared with the last day.

    Exit code 0 if every symbol could be observed, else 1.

    Raises:
        SettingsError: wrong settings.
    """
    settings = load_snapshot_settings()
    slot_ms = _slot(None, settings)
    deadline_ms = slot_ms + settings.interval_ms
    failed = False
    async with open_exchange(settings.binance_rest_url, settings.share) as exchange:
        for symbol in settings.symbols:
            row = await _row(exchange, symbol, slot_ms, deadline_ms)
            failed = failed or row.status != "complete"
            sys.stdout.write(_json(row))
    return 1 if failed else 0


async def _row(exchange: SnapshotExchange, symbol: str, slot_ms: int, deadline_ms: int) -> SnapshotRow:
    try:
        return complete_row(await observe(exchange, symbol, deadline_ms), slot_ms, "manual")
    except ExchangeError as error:
        reason = exchange.failure(symbol, error).reason
    except InvalidMessage as error:
        reason = str(error)
    return missing(EXCHANGE, symbol, slot_ms, reason, "manual", exchange.clock.now_ms())


def _json(row: SnapshotRow) -> str:
    return orjson.dumps(record_of(row), default=str).decode() + "\n"
