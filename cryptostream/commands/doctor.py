"""`cryptostream doctor`: checks everything that a deployment needs, and says how to fix it."""

from __future__ import annotations

import argparse
import errno
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO

import orjson

from consumers.indicators.registry import columns_of
from cryptostream.arguments import add_format
from cryptostream.doctor import exchange, kafka, store
from cryptostream.doctor.checks import Finding, failed, run_checks
from cryptostream.output import write_columns
from pipelines.snapshots.settings import load_snapshot_settings
from producers.exchanges.registry import exchange_named
from shared.errors import SettingsError
from shared.markets import NOTATIONS
from shared.metrics import unusable
from shared.proxies import named_proxy, proxy_for
from shared.setting_names import misspelt
from shared.settings import Settings, load_settings
from shared.shortened import bounded
from shared.shown import masked, masked_url

_FIELDS: Final = ("check", "status", "detail", "mend")  # of JSON
_SHOWN: Final = ("KAFKA_BOOTSTRAP_SERVERS", "STORE", "INFLUX_URL")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument(
        "--exchange", choices=NOTATIONS, help="check this one alone (default: each one of SYMBOLS)"
    )
    add_format(parser, "json")


def run(args: argparse.Namespace) -> int:
    """Exit code 1 if a check fails; warnings are no failure."""
    settings, faults = _settings_and_faults()
    if settings is not None and args.exchange is not None:
        settings = _alone(settings, args.exchange)
    if settings is None:
        # Without settings there is no address of anything else to check.
        found = faults
    else:
        checks = (*exchange.checks(settings), *kafka.checks(settings), *store.checks(settings))
        found = [_settings_finding(settings), *faults, *environment_findings(settings, os.environ)]
        found += run_checks(checks)
    found = [finding._replace(detail=_fit(finding.detail), fix=_fit(finding.fix)) for finding in found]
    if args.format == "json":
        records = [dict(zip(_FIELDS, finding, strict=True)) for finding in found]
        sys.stdout.write(orjson.dumps(records).decode() + "\n")
    else:
        write_report(found, sys.stdout)
    return 1 if any(finding.status == "fail" for finding in found) else 0


def _alone(settings: Settings, exchange: str) -> Settings:
    """The settings with one exchange; if it has no symbols in them, with its usual ones."""
    alone = settings.of(exchange)
    return alone if alone.symbols else alone.model_copy(update={"symbols": NOTATIONS[exchange].usual})


def _fit(text: str) -> str:
    return bounded(masked(text))


def write_report(found: Sequence[Finding], out: TextIO) -> None:
    """One aligned line per finding; the fix stands behind an arrow."""
    rows = [
        (finding.status, finding.check, finding.detail + (f" → {finding.fix}" if finding.fix else ""))
        for finding in found
    ]
    write_columns(("", "", ""), rows, out)
    failures = sum(finding.status == "fail" for finding in found)
    warnings = sum(finding.status == "warn" for finding in found)
    out.write(f"{failures} failed, {warnings} to look at\n" if failures or warnings else "all is well\n")


def _settings_and_faults() -> tuple[Settings | None, list[Finding]]:
    """The settings, None if no stream service would start with them; and the faults of all settings."""
    settings: Settings | None = None
    faults: dict[str, None] = {}  # each once: both models may report the same
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
    return settings, [failed("settings", SettingsError(fault)) for fault in faults]


def _settings_finding(settings: Settings) -> Finding:
    """The settings in force and their origin, without secrets."""
    addressed = [exchange_named(name).settings for name in settings.exchanges]
    origin = "environment and .env" if Path(".env").is_file() else "environment"
    names = (*_SHOWN, *(name for each in addressed for name in (each.rest, each.stream)))
    given = ", ".join(name for name in names if os.environ.get(name, "").strip())
    text = (
        f"from {origin}{f' ({given} set)' if given else ''}: {', '.join(settings.exchanges)},"
        f" {len(settings.symbols)} symbols, {len(settings.intervals)} intervals, store {settings.store}"
    )
    return Finding("settings", "ok", text)


def environment_findings(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """Misspelt settings, the proxy in use, and whether METRICS_PORT is free."""
    misspellings = [
        Finding("settings", "warn", f"{name} in the environment is not a setting", f"did you mean {meant}?")
        for name, meant in misspelt(environment)
    ]
    return [*misspellings, proxy_finding(settings, environment), *metrics_findings(settings)]


def proxy_finding(settings: Settings, environment: Mapping[str, str]) -> Finding:
    """How the exchange is reached; an unusable proxy is a failure, since every service refuses it."""
    names = settings.exchanges
    hosts = [host for name in names for host in exchange_named(name).addresses(settings)]
    who = "the exchange is" if len(names) == 1 else "the exchanges are"
    try:
        for host in hosts:
            proxy_for(host, environment)
    except SettingsError as error:
        return failed("proxy", error)
    found = [proxy for host in hosts if (proxy := named_proxy(host, environment)) is not None]
    if not found:
        return Finding("proxy", "ok", f"{who} reached directly")
    named = ", ".join(dict.fromkeys(f"{masked_url(proxy.url)} ({proxy.variable})" for proxy in found))
    return Finding("proxy", "ok", f"{who} reached by {named}; Kafka and the store directly")


def metrics_findings(settings: Settings) -> list[Finding]:
    """Whether METRICS_PORT is free; a running service of ours may hold it."""
    port, address = settings.metrics_port, settings.metrics_address
    if port is None:
        return []
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return [failed("metrics port", unusable(address, port, error))]
            text = f"METRICS_PORT {port} cannot be used now ({error.strerror})"
            fix = "unless a service of yours has it, name a free one"
            return [Finding("metrics port", "warn", text, fix)]
    return [Finding("metrics port", "ok", f"{port} is free")]
