"""The deployment of the flow: schedule, work pool, and the alerts that only a server can give."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from prefect import flow
from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.schedules import Cron

from pipelines.snapshots.flow import FLOW_NAME, LANDED_EVENT, parameters_of
from pipelines.snapshots.settings import SnapshotSettings
from shared.errors import SettingsError

DEPLOYMENT: Final = "binance"
POOL: Final = "default-pool"
_ROOT: Final = Path(__file__).resolve().parents[2]
_ENTRY: Final = "pipelines/snapshots/flow.py:market_snapshot"
_BLOCK: Final = "cryptostream-snapshot-alerts"
# A slot that did not land by the third after it: neither a late start nor a repeat explains that.
_SILENT_SLOTS: Final = 3


def deploy(settings: SnapshotSettings, pool: str) -> str:
    """Declare the flow to the server of PREFECT_API_URL; repeated, it updates. Returns the deployment's name.

    The worker must find this source tree at the same path.

    Raises:
        SettingsError: the work pool is not there.
    """
    remote: Any = flow.from_source(source=str(_ROOT), entrypoint=_ENTRY)
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
        declare_alerts(settings, url)
    return f"{FLOW_NAME}/{DEPLOYMENT}"


def declare_alerts(settings: SnapshotSettings, url: str) -> None:
    """Two automations: a run that ended badly; and silence, which a dead scheduler causes, too."""
    block: Any = Webhook(method="POST", url=url)
    block_id = block.save(_BLOCK, overwrite=True)
    silence = timedelta(milliseconds=_SILENT_SLOTS * settings.interval_ms)
    _declare(
        "market-snapshot-ended-badly",
        EventTrigger(
            expect={f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "Cancelled")},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": FLOW_NAME},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        CallWebhook(
            block_document_id=block_id,
            payload='{"text": "market-snapshot: {{ flow_run.name }} ended {{ flow_run.state.name }}"}',
        ),
    )
    _declare(
        "market-snapshot-silent",
        EventTrigger(
            expect={LANDED_EVENT},
            posture=Posture.Proactive,
            threshold=1,
            within=silence,
        ),
        CallWebhook(
            block_document_id=block_id,
            payload='{"text": "market-snapshot: nothing has landed for '
            f'{int(silence.total_seconds() // 60)} minutes"}}',
        ),
    )


def _declare(name: str, trigger: EventTrigger, action: CallWebhook) -> None:
    try:
        known = Automation.read(name=name)
    except ValueError:
        known = None  # there is none of this name yet
    if known is not None:
        known.delete()
    Automation(name=name, trigger=trigger, actions=[action]).create()
