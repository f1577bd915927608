"""The flow `market-snapshot`, with the stream's own prices to compare with.

Deployments name this file. Importing it starts nothing: `from_source` and workers import it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from prefect import flow

from cryptostream.snapshots.stream import stream_closes
from pipelines.snapshots.flow import FLOW_NAME, run_in_prefect
from pipelines.snapshots.settings import load_snapshot_settings

ENTRYPOINT: Final = "cryptostream/snapshots/flow.py:market_snapshot"


@flow(name=FLOW_NAME, log_prints=False)
async def market_snapshot(
    symbols: list[str] | None = None,
    cron: str | None = None,
    landing: str | None = None,
    directory: str | None = None,
) -> Any:
    """Take one slot; parameters are settings, the environment's where they are None.

    The state is Completed, named Partial or Late where some symbols' rows are not complete; or Failed, named
    Untaken where none is, and Unlanded where a destination took nothing.
    """
    settings = load_snapshot_settings(
        snapshot_symbols=None if symbols is None else ",".join(symbols),
        snapshot_cron=cron,
        snapshot_landing=landing,
        snapshot_dir=None if directory is None else Path(directory),
    )
    return await run_in_prefect(settings, stream_closes)
