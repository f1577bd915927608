"""Alerts by the Prefect server itself: of runs that died without reporting, and of silence.

Each is sent once, and once more when it is over: a trigger with `after` is armed by the event that ends the
problem, fires at the first event that begins it, and is not armed again before the next end.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.events import emit_event
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import EventTrigger, Posture

from pipelines.snapshots.flow import (
    DEPLOYED_EVENT,
    EVENT_LABEL,
    EVENT_RESOURCE,
    FLOW_NAME,
    LANDED_EVENT,
    OWN_ENDS,
)
from pipelines.snapshots.observation import EXCHANGE

_BLOCK: Final = "cryptostream-snapshot-alerts"
_OF_THE_FLOW: Final[dict[str, Any]] = {
    "prefect.resource.role": "flow",
    "prefect.resource.name": FLOW_NAME,
}
# Ends that no run reports itself: an exception, a dead process, a cancellation.
_BAD_ENDS: Final = frozenset(
    f"prefect.flow-run.{name}" for name in ("Failed", "Crashed", "Cancelled", "TimedOut")
)
_GOOD_ENDS: Final = frozenset(f"prefect.flow-run.{name}" for name in OWN_ENDS)
# A trigger stays armed so long; the server then removes it, and the next run arms it again.
_ARMED: Final = timedelta(days=365)


def declare_alerts(url: str, silence: timedelta) -> None:
    """Four automations that post `{"text": …}` to a webhook; repeated, it replaces them.

    Args:
        silence: time without a landing that is a problem; a dead scheduler causes it, too.
    """
    block: Any = Webhook(method="POST", url=url)
    block_id = block.save(_BLOCK, overwrite=True)
    _declare(
        "market-snapshot-ended-badly",
        _once(expect=_BAD_ENDS, after=_GOOD_ENDS | {DEPLOYED_EVENT}, match_related=_OF_THE_FLOW),
        _post(block_id, "problem: market-snapshot: {{ flow_run.name }} ended {{ flow_run.state.name }}"),
    )
    _declare(
        "market-snapshot-ends-well-again",
        _once(expect=_GOOD_ENDS, after=_BAD_ENDS, match_related=_OF_THE_FLOW),
        _post(block_id, "recovered: market-snapshot: {{ flow_run.name }} ended {{ flow_run.state.name }}"),
    )
    minutes = f"{silence.total_seconds() / 60:g} min"
    silent = _declare(
        "market-snapshot-silent",
        EventTrigger(
            expect={LANDED_EVENT},
            after={LANDED_EVENT, DEPLOYED_EVENT},
            # Without a label the server opens a new window after each alert, and sends it again and again.
            for_each={EVENT_LABEL},
            posture=Posture.Proactive,
            threshold=1,
            within=silence,
        ),
        _post(block_id, f"problem: market-snapshot: nothing has landed for {minutes}"),
    )
    _declare(
        "market-snapshot-lands-again",
        _once(
            expect={LANDED_EVENT},
            after={"prefect.automation.triggered"},
            match={"prefect.resource.id": [f"prefect.automation.{silent.id}", f"{EVENT_RESOURCE}.*"]},
        ),
        _post(block_id, "recovered: market-snapshot: rows land again"),
    )
    # Arms the triggers: a schedule that never starts is silent, too.
    emit_event(
        event=DEPLOYED_EVENT,
        resource={"prefect.resource.id": f"{EVENT_RESOURCE}.deployment", EVENT_LABEL: EXCHANGE},
        related=[{"prefect.resource.id": f"prefect.flow.{FLOW_NAME}", **_OF_THE_FLOW}],
    )


def _post(block_id: Any, text: str) -> CallWebhook:
    """Posts to a block of the server, so that automations do not show its address."""
    return CallWebhook(block_document_id=block_id, payload=f'{{"text": "{text}"}}')


def _once(expect: Any, after: Any, **matching: Any) -> EventTrigger:
    return EventTrigger(
        expect=set(expect),
        after=set(after),
        posture=Posture.Reactive,
        threshold=1,
        within=_ARMED,
        **matching,
    )


def _declare(name: str, trigger: EventTrigger, action: CallWebhook) -> Automation:
    try:
        known = Automation.read(name=name)
    except ValueError:
        known = None  # there is none of this name yet
    if known is not None:
        known.delete()
    made: Automation = Automation(name=name, trigger=trigger, actions=[action]).create()
    return made
