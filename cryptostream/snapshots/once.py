"""One slot for whoever starts pipelines/Binance/main.py: as a run of the Prefect server, if one is named."""

from __future__ import annotations

import asyncio
import os
import sys

from cryptostream.snapshots.server_away import ServerAway
from pipelines.snapshots.login import take_login
from pipelines.snapshots.quiet import quiet
from pipelines.snapshots.settings import load_snapshot_settings


def main() -> int:
    """0 if every row is complete and has landed, else 1.

    Raises:
        SettingsError: wrong settings.
        ServerAway: the server of PREFECT_API_URL does not answer.
    """
    # Wrong settings are told before a run begins.
    load_snapshot_settings()
    quiet()
    take_login()
    # After the environment is set.
    import httpx  # noqa: PLC0415

    from pipelines.snapshots.flow import market_snapshot  # noqa: PLC0415

    try:
        state = asyncio.run(market_snapshot(return_state=True))
    except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
        raise ServerAway(os.environ["PREFECT_API_URL"], error) from None
    sys.stdout.write(f"{state.name}: {state.message}\n")
    return 0 if state.name == "Completed" else 1
