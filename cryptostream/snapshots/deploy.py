"""`cryptostream snapshots deploy`: declares the deployment to a Prefect server."""

from __future__ import annotations

import argparse
import os
import sys

from cryptostream.snapshots.prefect_server import OPEN_SERVER, ServerUnavailable, answers_anybody
from cryptostream.snapshots.source import settings_of
from pipelines.snapshots.login import take_login
from pipelines.snapshots.quiet import quiet
from shared.errors import UsageError


def run(args: argparse.Namespace) -> int:
    """Exit code 0 once the deployment is declared.

    Raises:
        UsageError, SettingsError: no server is named, wrong settings, no such work pool.
        ServerUnavailable: the server does not answer.
    """
    settings = settings_of(args)
    address = os.environ.get("PREFECT_API_URL", "")
    if not address:
        raise UsageError("PREFECT_API_URL: not set; name the server, like http://localhost:4200/api")
    quiet()
    take_login()
    if answers_anybody(address):
        sys.stderr.write(f"warning: PREFECT_API_URL: {address}: {OPEN_SERVER}\n")
    import httpx  # noqa: PLC0415 - Prefect's client, after the environment is set

    from cryptostream.snapshots.flow import ENTRYPOINT  # noqa: PLC0415
    from pipelines.snapshots.deployment import deploy  # noqa: PLC0415

    try:
        name = deploy(settings, args.pool, ENTRYPOINT)
    except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
        raise ServerUnavailable(address, error) from None
    sys.stdout.write(f"{name}: {settings.snapshot_cron} UTC, {', '.join(settings.symbols)}\n")
    return 0
