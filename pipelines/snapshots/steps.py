"""The steps of a run, as plain functions; Prefect's flow wraps them into tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipelines.snapshots.destinations import Destinations
from pipelines.snapshots.extract import Failure, SnapshotExchange
from pipelines.snapshots.frame import each_row
from pipelines.snapshots.landing.learned import save_bounds
from pipelines.snapshots.landing.port import LandingMisconfigured, LandingUnavailable
from pipelines.snapshots.landing.spool import ROWS, WAREHOUSE
from pipelines.snapshots.observation import EXCHANGE, Observation, complete_row
from pipelines.snapshots.quality.bounds import learn
from pipelines.snapshots.quality.quarantine import (
    Quarantined,
    RuleResult,
    checks_file,
    quarantine_file,
    quarantined_answer,
    quarantined_row,
)
from pipelines.snapshots.quality.rules import SLOT_COMPLETE, Baseline, check_rules
from pipelines.snapshots.rows import Origin, SnapshotRow, missing
from pipelines.snapshots.warehouse.port import WarehouseError
from shared.errors import InvalidMessage


async def observe(exchange: SnapshotExchange, symbol: str, deadline_ms: int) -> Observation:
    """Extract: observe one symbol.

    Raises:
        ExchangeError: no valid answer in time.
    """
    return await exchange.patiently(lambda: exchange.observe(symbol, deadline_ms), deadline_ms)


async def fill(
    exchange: SnapshotExchange, symbol: str, reasons: Mapping[int, str], interval_ms: int
) -> list[SnapshotRow]:
    """Extract: rows of passed slots from klines.

    Args:
        reasons: by slot, ascending: why it is not complete.

    Raises:
        ExchangeError: the klines are not available now.
    """
    deadline_ms = exchange.clock.now_ms() + interval_ms
    return await exchange.patiently(
        lambda: exchange.fill(symbol, list(reasons), reasons, interval_ms), deadline_ms
    )


class Checked(NamedTuple):
    """Rows of a slot, one a symbol; quarantined rows and answers; counts of each rule."""

    rows: list[SnapshotRow]
    quarantined: list[Quarantined]
    results: list[RuleResult]


async def check(
    outcomes: Sequence[Observation | Failure], slot_ms: int, origin: Origin, now_ms: int, baseline: Baseline
) -> Checked:
    """Parse and check: outcomes to rows. Pure; async only to be a task."""
    rows: list[SnapshotRow] = []
    gone: list[SnapshotRow] = []
    quarantined: list[Quarantined] = []
    for outcome in outcomes:
        symbol = outcome.symbol
        if isinstance(outcome, Failure):
            gone.append(missing(EXCHANGE, symbol, slot_ms, outcome.reason, origin, now_ms))
            quarantined += [quarantined_answer(symbol, *rejected) for rejected in outcome.rejected]
            continue
        try:
            rows.append(complete_row(outcome, slot_ms, origin))
        except InvalidMessage as error:
            gone.append(missing(EXCHANGE, symbol, slot_ms, f"quarantined: {error}", origin, now_ms))
            quarantined.append(quarantined_answer(symbol, "observation", str(error), repr(outcome).encode()))
    by_rules = check_rules(rows, baseline)
    for row, rules in by_rules.broken:
        reason = f"quarantined: {', '.join(rules)}"
        gone.append(missing(EXCHANGE, row.symbol, slot_ms, reason, origin, now_ms))
        quarantined.append(quarantined_row(row, rules))
    whole = sorted((*by_rules.good, *gone), key=lambda row: row.symbol)
    results = [*by_rules.results(), RuleResult(*SLOT_COMPLETE, len(whole), len(gone))]
    return Checked(whole, quarantined, results)


async def keep(
    destinations: Destinations, checked: Checked, filled: Sequence[SnapshotRow], slot_ms: int, now_ms: int
) -> None:
    """Write everything to the spool first.

    Raises:
        LandingUnavailable: the local disk cannot be written.
    """
    queues = (ROWS, WAREHOUSE) if destinations.warehouse else (ROWS,)
    destinations.spool.put_rows([*checked.rows, *filled], *queues)
    if checked.quarantined:
        destinations.spool.put_blob(*quarantine_file(checked.quarantined, slot_ms, now_ms))
    if checked.rows:
        destinations.spool.put_blob(*checks_file(checked.results, slot_ms, now_ms))


class Delivered(NamedTuple):
    """Number of slots that have landed, and failures by destination."""

    landed: int
    failures: dict[str, str]


async def deliver(destinations: Destinations) -> Delivered:
    """Land: from the spool to the landing and to the warehouse."""
    return await asyncio.to_thread(_deliver, destinations)


def compact(destinations: Destinations, interval_ms: int, now_ms: int) -> None:
    """Compact each closed day into one file, and learn bounds from it.

    Raises:
        LandingUnavailable, LandingMisconfigured: a later run does it.
    """
    for day, table in destinations.files.compact(now_ms).items():
        save_bounds(destinations.landing, day, learn(each_row(table), interval_ms))


def _deliver(destinations: Destinations) -> Delivered:
    landed, failures = 0, {}
    try:
        landed = destinations.spool.drain_rows(ROWS, destinations.files.land)
        destinations.spool.drain_blobs(destinations.landing)
    except (LandingUnavailable, LandingMisconfigured) as error:
        # Misconfiguration too: rows wait in the spool until it is fixed.
        failures["landing"] = str(error)
    if destinations.warehouse is not None:
        failures |= _load(destinations)
    return Delivered(landed, failures)


def _load(destinations: Destinations) -> dict[str, str]:
    assert destinations.warehouse is not None
    try:
        destinations.spool.drain_rows(WAREHOUSE, destinations.warehouse.load)
    except WarehouseError as error:
        return {"warehouse": str(error)}
    return {}


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps that a flow may replace by tasks."""

    observe: Callable[[SnapshotExchange, str, int], Awaitable[Observation]] = observe
    fill: Callable[[SnapshotExchange, str, Mapping[int, str], int], Awaitable[list[SnapshotRow]]] = fill
    check: Callable[[Sequence[Observation | Failure], int, Origin, int, Baseline], Awaitable[Checked]] = check
    keep: Callable[[Destinations, Checked, Sequence[SnapshotRow], int, int], Awaitable[None]] = keep
    deliver: Callable[[Destinations], Awaitable[Delivered]] = deliver


PLAIN: Final = Steps()
