"""`cryptostream doctor`: checks everything that a deployment stands on, and says how to mend it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TextIO

import orjson

from consumers.indicators.registry import columns_of
from cryptostream.arguments import add_format
from cryptostream.doctor import exchange, kafka, store, surroundings
from cryptostream.doctor.finding import Finding, broken, run_checks
from cryptostream.output import write_columns
from pipelines.snapshots.settings import load_snapshot_settings
from shared.errors import SettingsError
from shared.masking import masked
from shared.settings import Settings, load_settings
from shared.shortened import bounded

_SHOWN: Final = ("KAFKA_BOOTSTRAP_SERVERS", "STORE", "INFLUX_URL", "BINANCE_REST_URL", "BINANCE_WS_URL")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_format(parser, "json")


def run(args: argparse.Namespace) -> int:
    """Exit code 1 if a check fails; warnings are no failure."""
    settings, faults = _settings_and_faults()
    if settings is None:
        # Nothing else can be looked at: nobody knows where.
        found = faults
    else:
        checks = (*exchange.checks(settings), *kafka.checks(settings), *store.checks(settings))
        found = [_settings_finding(settings), *faults, *surroundings.findings(settings), *run_checks(checks)]
    found = [finding._replace(detail=_fit(finding.detail), mend=_fit(finding.mend)) for finding in found]
    if args.format == "json":
        sys.stdout.write(orjson.dumps([finding._asdict() for finding in found]).decode() + "\n")
    else:
        write_report(found, sys.stdout)
    return 1 if any(finding.status == "fail" for finding in found) else 0


def _fit(text: str) -> str:
    return bounded(masked(text))


def write_report(found: Sequence[Finding], out: TextIO) -> None:
    """One aligned line a finding; how to mend it stands behind an arrow."""
    rows = [
        (finding.status, finding.check, finding.detail + (f" → {finding.mend}" if finding.mend else ""))
        for finding in found
    ]
    write_columns(("", "", ""), rows, out)
    failed = sum(finding.status == "fail" for finding in found)
    warned = sum(finding.status == "warn" for finding in found)
    out.write(f"{failed} failed, {warned} to look at\n" if failed or warned else "all is well\n")


def _settings_and_faults() -> tuple[Settings | None, list[Finding]]:
    """None if no service of the stream would start with them; those of the snapshots are theirs alone."""
    settings: Settings | None = None
    faults: dict[str, None] = {}  # each once, though both models may have it
    try:
        settings = load_settings()
        columns_of(settings.indicators)
    except SettingsError as error:
        settings = None
        faults |= dict.fromkeys(error.faults)
    try:
        load_snapshot_settings()
    except SettingsError as error:
        faults |= dict.fromkeys(error.faults)
    return settings, [broken("settings", SettingsError(fault)) for fault in faults]


def _settings_finding(settings: Settings) -> Finding:
    """Which settings are in force and where from, without any secret."""
    origin = "environment and .env" if Path(".env").is_file() else "environment"
    given = ", ".join(name for name in _SHOWN if os.environ.get(name, "").strip())
    text = (
        f"from {origin}{f' ({given} set)' if given else ''}: {settings.exchange},"
        f" {len(settings.symbols)} symbols, {len(settings.intervals)} intervals, store {settings.store}"
    )
    return Finding("settings", "ok", text)
