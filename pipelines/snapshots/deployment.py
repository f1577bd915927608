"""The deployment of the flow: schedule and work pool."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from prefect import flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.schedules import Cron

from pipelines.snapshots.flow import FLOW_NAME, parameters_of
from pipelines.snapshots.server_alerts import declare_alerts
from pipelines.snapshots.settings import SnapshotSettings
from shared.errors import SettingsError

DEPLOYMENT: Final = "binance"
_ROOT: Final = Path(__file__).resolve().parents[2]
# After three slots without a landing neither a late start nor a retry explains the silence.
_SILENT_SLOTS: Final = 3


def deploy(settings: SnapshotSettings, pool: str, entrypoint: str) -> str:
    """Declare the flow to the server of PREFECT_API_URL; repeated, it updates. Returns the deployment's name.

    The worker needs this source tree at the same path.

    Args:
        entrypoint: of the flow, as `path/below/the/tree.py:function`.

    Raises:
        SettingsError: the work pool is not there.
    """
    remote: Any = flow.from_source(source=str(_ROOT), entrypoint=entrypoint)
    try:
        remote.deploy(
            name=DEPLOYMENT,
            work_pool_name=pool,
            schedules=[Cron(settings.snapshot_cron, timezone="UTC")],
            # Two runs at once would share one weight budget without knowing of each other. ENQUEUE, since
            # CANCEL_NEW cancels the older slot when a worker catches up.
            concurrency_limit=ConcurrencyLimitConfig(
                limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE
            ),
            parameters=parameters_of(settings),
            tags=["cryptostream", "binance"],
            print_next_steps=False,
            ignore_warnings=True,
        )
    except ValueError as error:
        if pool not in str(error):
            raise
        raise SettingsError(
            f'work pool "{pool}" is not there; make it by: prefect work-pool create {pool} --type process'
        ) from None
    url = settings.snapshot_webhook_url.get_secret_value()
    if url:
        declare_alerts(url, timedelta(milliseconds=_SILENT_SLOTS * settings.interval_ms))
    return f"{FLOW_NAME}/{DEPLOYMENT}"
