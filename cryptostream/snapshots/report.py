"""`cryptostream snapshots report`: the last day as an HTML page."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Final

from cryptostream.snapshots.source import settings_of
from pipelines.snapshots.destinations import open_landing
from pipelines.snapshots.landing.files import SnapshotFiles
from pipelines.snapshots.query import ask, open_query
from pipelines.snapshots.report import page
from pipelines.snapshots.rows import merge
from pipelines.snapshots.settings import SnapshotSettings
from pipelines.snapshots.slots import DAY_MS, days_between, slot_at, slot_text
from shared.errors import UsageError

_MOST_QUARANTINED: Final = 100


def run(args: argparse.Namespace) -> int:
    """Write the page; exit code 1 if nothing has landed in the last day.

    Raises:
        UsageError: the file cannot be written.
        LandingUnavailable: the landed files cannot be read now.
    """
    settings = settings_of(args)
    end_ms = slot_at(time.time_ns() // 1_000_000, settings.interval_ms) + settings.interval_ms
    span = (end_ms - DAY_MS, end_ms)
    files = SnapshotFiles(open_landing(settings), settings.interval_ms)
    days = (files.rows_of_day(day) for day in days_between(*span))
    rows = [row for row in merge(*days) if span[0] <= row.slot_ms < span[1]]
    quality, quarantined = _quality(settings, span)
    text = page(rows, settings.symbols, span, settings.interval_ms, quality, quarantined)
    try:
        args.out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"--out {args.out}: cannot be written ({error.strerror}); name another file"
        ) from None
    sys.stdout.write(f"{args.out}: {len(rows)} rows since {slot_text(span[0])} UTC\n")
    return 0 if rows else 1


def _quality(
    settings: SnapshotSettings, span: tuple[int, int]
) -> tuple[dict[str, tuple[int, int]], list[tuple[str, str, str]]]:
    within = f"slot >= make_timestamp({span[0]}000) AT TIME ZONE 'UTC'"
    with open_query(settings) as connection:
        _, checks = ask(
            connection, f"SELECT rule, sum(checked), sum(failed) FROM checks WHERE {within} GROUP BY rule"
        )
        _, quarantined = ask(
            connection,
            f"SELECT slot, symbol, reason FROM quarantine WHERE {within} "
            f"ORDER BY slot DESC LIMIT {_MOST_QUARANTINED}",
        )
    return (
        {rule: (int(checked), int(failed)) for rule, checked, failed in checks},
        [(f"{slot:%Y-%m-%d %H:%M}", symbol, reason) for slot, symbol, reason in quarantined],
    )
