"""A run of the pipeline as Prefect sees it: slot time, retries, artifacts and events.

The work itself is in `run` and `steps`; the flow that deployments name is `cryptostream.snapshots.flow`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import get_run_context
from prefect.events import emit_event
from prefect.states import Completed, Failed, State
from prefect.tasks import exponential_backoff

from pipelines.snapshots import steps
from pipelines.snapshots.destinations import Destinations, open_destinations
from pipelines.snapshots.extract import Failure, SnapshotExchange, open_exchange
from pipelines.snapshots.landing.port import LandingMisconfigured, LandingUnavailable
from pipelines.snapshots.observation import EXCHANGE, Observation
from pipelines.snapshots.quality.rules import Baseline
from pipelines.snapshots.result import RunResult
from pipelines.snapshots.rows import Origin, SnapshotRow
from pipelines.snapshots.run import StreamCloses, run_slot
from pipelines.snapshots.settings import SnapshotSettings
from pipelines.snapshots.slots import slot_at, slot_text
from pipelines.snapshots.steps import Checked, Delivered, Steps
from pipelines.snapshots.table import as_records, price, price_decimals, sparkline, summary_of
from shared.errors import ExchangeUnavailable

FLOW_NAME: Final = "market-snapshot"
# What alerts of a server are made from: an event a run, with a label that all share, and one a deployment.
# Not the rows' events: they come together, and a server on SQLite gives up some of those that it evaluates.
LANDED_EVENT: Final = "cryptostream.snapshot.slot-landed"
DEPLOYED_EVENT: Final = "cryptostream.snapshot.deployed"
EVENT_RESOURCE: Final = "cryptostream.snapshot"
EVENT_LABEL: Final = "cryptostream.exchange"
# Names of the states that a run itself comes to. The last two are of type Failed: their cause was told by the
# run, so they are not called that.
OWN_ENDS: Final = ("Completed", "Partial", "Late", "Untaken", "Unlanded")
_CHARTED: Final = 24  # slots: two hours of five minutes


async def worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """Only what passes by itself: 5xx, time-outs, junk. Waits that the exchange asks for are the client's."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, ExchangeUnavailable) and not error.retry_after


_RETRIED: Final[Mapping[str, Any]] = {
    "retries": 2,
    "retry_delay_seconds": exponential_backoff(backoff_factor=1),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": worth_retrying,
    # A cached answer of an exchange is an old one; idempotence comes from keys.
    "cache_policy": NO_CACHE,
}


@task(name="extract", task_run_name="extract {symbol}", **_RETRIED)
async def extract_task(exchange: SnapshotExchange, symbol: str, deadline_ms: int) -> Observation:
    return await steps.observe(exchange, symbol, deadline_ms)


@task(name="fill", task_run_name="fill {symbol}", **_RETRIED)
async def fill_task(
    exchange: SnapshotExchange, symbol: str, reasons: Mapping[int, str], interval_ms: int
) -> list[SnapshotRow]:
    return await steps.fill(exchange, symbol, reasons, interval_ms)


@task(name="check", cache_policy=NO_CACHE)
async def check_task(
    outcomes: Sequence[Observation | Failure], slot_ms: int, origin: Origin, now_ms: int, baseline: Baseline
) -> Checked:
    return await steps.check(outcomes, slot_ms, origin, now_ms, baseline)


@task(name="keep", cache_policy=NO_CACHE)
async def keep_task(
    destinations: Destinations, checked: Checked, filled: Sequence[SnapshotRow], slot_ms: int, now_ms: int
) -> None:
    await steps.keep(destinations, checked, filled, slot_ms, now_ms)


@task(name="land", cache_policy=NO_CACHE)
async def land_task(destinations: Destinations) -> Delivered:
    return await steps.deliver(destinations)


TASKS: Final = Steps(extract_task, fill_task, check_task, keep_task, land_task)


async def run_in_prefect(settings: SnapshotSettings, stream_closes: StreamCloses) -> State[Any]:
    """Take the slot that the scheduler names, and publish what became of it; the state of the flow run.

    Args:
        stream_closes: see `run_slot`.
    """
    slot_ms, origin = _scheduled(settings)
    with open_destinations(settings) as destinations:
        async with open_exchange(settings.binance_rest_url, settings.share) as exchange:
            result = await run_slot(
                settings, exchange, destinations, slot_ms, origin, steps=TASKS, stream_closes=stream_closes
            )
        await publish(result, _recent_prices(destinations, result, settings))
    summary = summary_of(result)
    get_run_logger().info("%s: %s", slot_text(slot_ms), summary)
    if result.state == "failed" or result.failures:
        name = "Unlanded" if result.failures else "Untaken"
        return Failed(message=summary, name=name)
    return Completed(message=summary, name="Completed" if result.complete else result.state.capitalize())


def _scheduled(settings: SnapshotSettings) -> tuple[int, Origin]:
    """Slot and kind of this run, from the scheduler: the clock of an early run is that of the slot before."""
    run = get_run_context().flow_run
    moment: datetime = run.expected_start_time or run.created
    time_ms = round(moment.timestamp() * 1000)
    return slot_at(time_ms, settings.interval_ms), "scheduled" if run.auto_scheduled else "manual"


async def publish(result: RunResult, recent: Mapping[str, Sequence[float]]) -> None:
    """Artifacts of a run (prices, checks, a small chart), an event for each row, and one if they landed."""
    slot = slot_text(result.slot_ms)
    await create_table_artifact(
        key="market-snapshot", table=as_records(result.rows), description=f"{slot} UTC: {summary_of(result)}"
    )
    await create_table_artifact(
        key="market-snapshot-checks",
        table=[one._asdict() for one in result.results],
        description=f"{slot} UTC: {len(result.quarantined)} quarantined",
    )
    await create_markdown_artifact(key="market-snapshot-chart", markdown=chart(slot, result.rows, recent))
    for row in result.rows:
        emit_event(
            event=f"{EVENT_RESOURCE}.{'waiting' if result.failures else 'landed'}",
            resource={
                "prefect.resource.id": f"{EVENT_RESOURCE}.{EXCHANGE}.{row.symbol}",
                EVENT_LABEL: EXCHANGE,
            },
            payload={"slot": slot, "status": row.status, "reason": row.reason},
        )
    if result.rows and not result.failures:
        emit_event(
            event=LANDED_EVENT,
            resource={"prefect.resource.id": f"{EVENT_RESOURCE}.{EXCHANGE}", EVENT_LABEL: EXCHANGE},
            payload={"slot": slot, "rows": len(result.rows)},
        )


def chart(slot: str, rows: Sequence[SnapshotRow], recent: Mapping[str, Sequence[float]]) -> str:
    """Prices of the last hours as one line a symbol."""
    lines = [f"### {slot} UTC", "", "| symbol | last price | last hours |", "|---|---:|---|"]
    decimals = price_decimals(rows)
    for row in rows:
        line = sparkline(recent.get(row.symbol, ()))
        lines.append(
            f"| {row.symbol} | {price(row.measures.get('last_price'), decimals[row.symbol])} | `{line}` |"
        )
    return "\n".join(lines)


def _recent_prices(
    destinations: Destinations, result: RunResult, settings: SnapshotSettings
) -> dict[str, list[float]]:
    """Prices of the last slots that have landed, by symbol, oldest first; none if they cannot be read now."""
    found: dict[str, list[float]] = {}
    first_ms = result.slot_ms - _CHARTED * settings.interval_ms
    try:
        for slot_ms in range(first_ms, result.slot_ms + 1, settings.interval_ms):
            for row in destinations.files.rows(slot_ms):
                if "last_price" in row.measures:
                    found.setdefault(row.symbol, []).append(float(row.measures["last_price"]))
    except (LandingUnavailable, LandingMisconfigured):
        return {}  # that it is away is told by the run itself
    return found


def parameters_of(settings: SnapshotSettings) -> dict[str, Any]:
    """The flow's parameters that say what the settings say."""
    return {
        "symbols": list(settings.symbols),
        "cron": settings.snapshot_cron,
        "landing": settings.snapshot_landing,
        "directory": str(settings.snapshot_dir),
    }
