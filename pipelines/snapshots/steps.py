"""The steps of a run, as plain functions; Prefect's flow wraps them into tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipelines.snapshots.extract import Failure, SnapshotExchange
from pipelines.snapshots.frame import each_row
from pipelines.snapshots.landing.learned import save_bounds
from pipelines.snapshots.landing.port import LandingMisconfigured, LandingUnavailable
from pipelines.snapshots.landing.spool import ROWS, WAREHOUSE
from pipelines.snapshots.observation import EXCHANGE, Observation, complete_row
from pipelines.snapshots.places import Places
from pipelines.snapshots.quality.bounds import learn
from pipelines.snapshots.quality.quarantine import (
    Held,
    RuleResult,
    checks_file,
    held_answer,
    held_row,
    quarantine_file,
)
from pipelines.snapshots.quality.rules import SLOT_COMPLETE, Usual, Verdict, judge
from pipelines.snapshots.rows import Origin, SnapshotRow, missing
from pipelines.snapshots.warehouse.port import WarehouseError
from shared.errors import InvalidMessage


async def observe(exchange: SnapshotExchange, symbol: str, deadline_ms: int) -> Observation:
    """Extract: what the exchange says of one symbol.

    Raises:
        ExchangeError: it does not say it in time.
    """
    return await exchange.patiently(lambda: exchange.observe(symbol, deadline_ms), deadline_ms)


async def fill(
    exchange: SnapshotExchange, symbol: str, reasons: Mapping[int, str], interval_ms: int
) -> list[SnapshotRow]:
    """Extract: what klines say of passed slots.

    Args:
        reasons: by slot, ascending: why it is not complete.

    Raises:
        ExchangeError: they are not to be had now.
    """
    deadline_ms = exchange.clock.now_ms() + interval_ms
    return await exchange.patiently(
        lambda: exchange.fill(symbol, list(reasons), reasons, interval_ms), deadline_ms
    )


class Checked(NamedTuple):
    """Rows of a slot, one a symbol; what was held back; how each rule went."""

    rows: list[SnapshotRow]
    held: list[Held]
    results: list[RuleResult]


async def check(
    outcomes: Sequence[Observation | Failure], slot_ms: int, origin: Origin, now_ms: int, usual: Usual
) -> Checked:
    """Parse and check: outcomes to rows. Pure: it waits for nothing."""
    rows: list[SnapshotRow] = []
    gone: list[SnapshotRow] = []
    held: list[Held] = []
    for outcome in outcomes:
        symbol = outcome.symbol
        if isinstance(outcome, Failure):
            gone.append(missing(EXCHANGE, symbol, slot_ms, outcome.reason, origin, now_ms))
            held += [held_answer(symbol, *rejected) for rejected in outcome.rejected]
            continue
        try:
            rows.append(complete_row(outcome, slot_ms, origin))
        except InvalidMessage as error:
            gone.append(missing(EXCHANGE, symbol, slot_ms, f"quarantined: {error}", origin, now_ms))
            held.append(held_answer(symbol, "observation", str(error), repr(outcome).encode()))
    verdict: Verdict = judge(rows, usual)
    for row, rules in verdict.broken:
        reason = f"quarantined: {', '.join(rules)}"
        gone.append(missing(EXCHANGE, row.symbol, slot_ms, reason, origin, now_ms))
        held.append(held_row(row, rules))
    whole = sorted((*verdict.good, *gone), key=lambda row: row.symbol)
    results = [*verdict.results(), RuleResult(*SLOT_COMPLETE, len(whole), len(gone))]
    return Checked(whole, held, results)


async def keep(
    places: Places, checked: Checked, filled: Sequence[SnapshotRow], slot_ms: int, now_ms: int
) -> None:
    """Put everything on this disk, before anything else is tried.

    Raises:
        LandingUnavailable: the disk does not take it.
    """
    queues = (ROWS, WAREHOUSE) if places.warehouse else (ROWS,)
    places.spool.put_rows([*checked.rows, *filled], *queues)
    if checked.held:
        places.spool.put_blob(*quarantine_file(checked.held, slot_ms, now_ms))
    if checked.rows:
        places.spool.put_blob(*checks_file(checked.results, slot_ms, now_ms))


class Delivered(NamedTuple):
    """Slots that have landed, and why others could not, by place."""

    landed: int
    troubles: dict[str, str]


async def deliver(places: Places) -> Delivered:
    """Land: from the spool to the landing place and to the warehouse."""
    return await asyncio.to_thread(_deliver, places)


def compact(places: Places, interval_ms: int, now_ms: int) -> None:
    """Make one file of each closed day, and learn from it what is usual.

    Raises:
        LandingUnavailable, LandingMisconfigured: it is left to a later run.
    """
    for day, table in places.files.compact(now_ms).items():
        save_bounds(places.place, day, learn(each_row(table), interval_ms))


def _deliver(places: Places) -> Delivered:
    landed, troubles = 0, {}
    try:
        landed = places.spool.drain_rows(ROWS, places.files.land)
        places.spool.drain_blobs(places.place)
    except (LandingUnavailable, LandingMisconfigured) as error:
        # Even where only a person can mend it: what is taken until then waits.
        troubles["landing"] = str(error)
    if places.warehouse is not None:
        troubles |= _load(places)
    return Delivered(landed, troubles)


def _load(places: Places) -> dict[str, str]:
    assert places.warehouse is not None
    try:
        places.spool.drain_rows(WAREHOUSE, places.warehouse.load)
    except WarehouseError as error:
        return {"warehouse": str(error)}
    return {}


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps that a flow may put tasks in the place of."""

    observe: Callable[[SnapshotExchange, str, int], Awaitable[Observation]] = observe
    fill: Callable[[SnapshotExchange, str, Mapping[int, str], int], Awaitable[list[SnapshotRow]]] = fill
    check: Callable[[Sequence[Observation | Failure], int, Origin, int, Usual], Awaitable[Checked]] = check
    keep: Callable[[Places, Checked, Sequence[SnapshotRow], int, int], Awaitable[None]] = keep
    deliver: Callable[[Places], Awaitable[Delivered]] = deliver


PLAIN: Final = Steps()
