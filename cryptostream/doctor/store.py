"""Checks of the store: writing, reading, retention of its buckets, disk space."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from consumers.measurements import QUOTE, BucketRole
from consumers.stores.influxdb import InfluxStore
from consumers.stores.influxdb_answers import unanswered
from consumers.stores.influxdb_reader import InfluxReader
from consumers.stores.sqlite_reader import SqliteReader
from consumers.stores.storable import TICKS_EXPIRY_NS
from cryptostream.data_dir import DATA_ROOT, latest_store_path
from cryptostream.doctor.checks import Check, Finding, failed
from shared.errors import StoreError, StoreMisconfigured
from shared.settings import Settings

# A busy market writes some 100 MB an hour: a warning 20 hours ahead, a failure 5 hours ahead.
LOW_BYTES: Final = 2 * 10**9
FULL_BYTES: Final = 5 * 10**8
_TICKS_EXPIRY_S: Final = TICKS_EXPIRY_NS // 10**9
# The client has no types.
_untyped_client: Final[Any] = InfluxDBClient


def checks(settings: Settings) -> list[Check]:
    if settings.store == "sqlite":
        path = settings.sqlite_path or latest_store_path()
        return [
            Check("store", lambda: _sqlite(path)),
            Check("disk", lambda: (disk_finding(path.parent if path is not None else DATA_ROOT),)),
        ]
    return [
        Check("store", lambda: _writes(settings)),
        Check("store reading", lambda: _reads(settings)),
        Check("store buckets", lambda: _buckets(settings)),
        Check("disk", lambda: (disk_finding(DATA_ROOT),)),
    ]


def _sqlite(path: Path | None) -> Sequence[Finding]:
    if path is None:
        text = "SQLITE_PATH is not set, and no run has made a store yet"
        return (
            Finding("store", "warn", text, "start with `make run`, or set SQLITE_PATH or STORE=influxdb"),
        )
    if not path.exists():
        directory = _existing(path.parent)
        if os.access(directory, os.W_OK | os.X_OK):
            return (Finding("store", "ok", f"SQLite {path} will be made by the first write"),)
        text = f"SQLite {path}: {directory} cannot be written"
        return (
            Finding("store", "fail", text, "name another file by SQLITE_PATH, or give the right to write"),
        )
    try:
        SqliteReader(path)
    except StoreError as error:
        return (failed("store", error),)
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)):
        text = f"SQLite {path} can be read, but not written"
        return (Finding("store", "fail", text, "give the right to write it, or name another by SQLITE_PATH"),)
    return (Finding("store", "ok", f"SQLite {path} can be read and written"),)


def _writes(settings: Settings) -> Sequence[Finding]:
    try:
        with closing(InfluxStore(settings)) as store:
            store.check()
    except StoreMisconfigured as error:
        if _reading_refused(settings) is not None:
            raise
        # A reader's token cannot write, and need not: only consumers write.
        return (_one_sided("store", "the token may not write: consumers need another", error),)
    buckets = f"{settings.influx_bucket_market} and {settings.influx_bucket_ticks}"
    return (Finding("store", "ok", f"InfluxDB {settings.influx_url}: the token may write {buckets}"),)


def _reads(settings: Settings) -> Sequence[Finding]:
    error = _reading_refused(settings)
    if error is None:
        return (Finding("store reading", "ok", "the token may read both buckets"),)
    # A writer's token cannot read, and need not: only these commands read.
    text = "the token may not read: query, ledger --verify and Grafana need another"
    return (_one_sided("store reading", text, error),)


def _reading_refused(settings: Settings) -> StoreMisconfigured | None:
    nothing = {"symbol": "", "exchange": ""}
    try:
        with closing(InfluxReader(settings)) as reader:
            for measurement, tags in ((QUOTE.name, nothing), ("ledger", {**nothing, "stream": "doctor"})):
                for _ in reader.read(measurement, tags, last=1):
                    break
    except StoreMisconfigured as error:
        return error
    return None


def _one_sided(check: str, text: str, error: StoreMisconfigured) -> Finding:
    """A token that may either read or write, as a service's should."""
    reason, _, fix = str(error).rpartition("; ")
    return Finding(check, "warn", f"{text} ({reason})", fix)


def _buckets(settings: Settings) -> Sequence[Finding]:
    names: dict[BucketRole, str] = {
        "market": settings.influx_bucket_market,
        "ticks": settings.influx_bucket_ticks,
    }
    try:
        expiries = {role: _expiry_s(settings, names[role]) for role in names}
    except ApiException as error:
        if not error.status:
            return (failed("store buckets", unanswered(error, settings)),)
        text = f"what they keep is not known: the server does not list them to this token ({error.status})"
        return (Finding("store buckets", "warn", text, "look with a token that may read them"),)
    except (HTTPError, OSError):
        text = f"no answer from {settings.influx_url}"
        return (Finding("store buckets", "fail", text, "is InfluxDB running there?"),)
    return bucket_findings(names, expiries)


def bucket_findings(
    names: Mapping[BucketRole, str], expiries_s: Mapping[BucketRole, int | None]
) -> list[Finding]:
    """One finding for each bucket's retention.

    Args:
        expiries_s: by role, retention in seconds, 0 for ever; None if the bucket is not listed.
    """
    found = []
    for role, name in names.items():
        expiry_s = expiries_s[role]
        kept = f"{expiry_s // 86_400} days" if expiry_s else "for ever"
        if expiry_s is None:
            text = f"{name} is not there, or the token does not see it"
            fix = f"create it, or name it by INFLUX_BUCKET_{role.upper()}"
            found.append(Finding("store buckets", "warn", text, fix))
        elif role == "market" and expiry_s:
            text = f"{name} forgets after {kept} what is to be kept for ever"
            found.append(Finding("store buckets", "fail", text, "set its retention to infinite"))
        elif role == "ticks" and 0 < expiry_s < _TICKS_EXPIRY_S:
            text = f"{name} keeps {expiry_s // 3_600} hours, not 7 days: older points are refused or lost"
            found.append(Finding("store buckets", "fail", text, "set its retention to 7 days"))
        elif role == "ticks" and names["ticks"] != names["market"] and expiry_s != _TICKS_EXPIRY_S:
            text = f"{name} keeps {kept}, not 7 days: it grows larger than planned"
            found.append(Finding("store buckets", "warn", text, "set its retention to 7 days"))
        else:
            found.append(Finding("store buckets", "ok", f"{name} keeps its points {kept}"))
    return found


def _expiry_s(settings: Settings, name: str) -> int | None:
    client = _untyped_client(
        settings.influx_url,
        token=settings.influx_token.get_secret_value(),
        org=settings.influx_org,
        timeout=5_000,
    )
    with client:
        bucket = client.buckets_api().find_bucket_by_name(name)
    if bucket is None:
        return None
    return int(sum(rule.every_seconds for rule in bucket.retention_rules or ()))


def disk_finding(directory: Path) -> Finding:
    """Free space on the disk of a directory, which need not exist yet."""
    there = _existing(directory)
    free = shutil.disk_usage(there).free
    text = f"{free / 10**9:,.1f} GB free at {there.resolve()}"
    if free >= LOW_BYTES:
        return Finding("disk", "ok", text)
    return Finding("disk", "fail" if free < FULL_BYTES else "warn", text, "make room, or move the data")


def _existing(directory: Path) -> Path:
    """The directory, or the nearest one above it that exists."""
    return next((path for path in (directory, *directory.absolute().parents) if path.is_dir()), Path("/"))
