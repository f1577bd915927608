"""Counts the store again at the end of a run: every row that the ledger claims must be there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from consumers.stores.port import Reader
from consumers.stores.storable import TICKS_EXPIRY_NS
from cryptostream.ledger_report.recount import count_points, shortfall
from cryptostream.ledger_report.report import Span
from cryptostream.run.proof.checks import Result, Status, ranges_text
from shared.errors import StoreError
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries

# The newest rows of one series: a second or two.
_MOST_ROWS: Final = 50_000
# For all series together; series beyond it are unknown.
_BUDGET_S: Final = 60.0
# The ledger dates what it expects by single ids of a second's batch.
_MARGIN_MS: Final = 3_600_000
# In a longer run some rows may have expired; then the count begins with the oldest row.
_EXPIRING_S: Final = TICKS_EXPIRY_NS / 10**9 - 86_400


@dataclass(frozen=True, slots=True)
class Claim:
    """Ids whose rows the store must have, and their time, if known; `counted` rows more are known by number
    alone, and not looked for."""

    ids: IdRanges
    from_ms: int | None = None
    to_ms: int | None = None
    counted: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """The results of all series.

    Attributes:
        rows: the number of claimed rows that were looked for.
        claimed: the number of all claimed rows.
    """

    results: tuple[Result, ...]
    rows: int = 0
    claimed: int = 0


def recount(
    open_reader: Callable[[], Reader],
    claims: Mapping[LedgerSeries, Claim],
    *,
    uptime_s: float,
    clock_s: Callable[[], float] = time.monotonic,
) -> Counted:
    """Look for the newest claimed rows of every series.

    Args:
        uptime_s: for how long the run has stored.
    """
    results: list[Result] = []
    counted, deadline_s = 0, clock_s() + _BUDGET_S
    claimed = {series: claim for series, claim in claims.items() if claim.ids}
    total = sum(claim.ids.id_count() + claim.counted for claim in claims.values())
    try:
        reader = open_reader()
    except StoreError as error:
        return Counted((Result("the store", Status.UNKNOWN, f"cannot be read: {error}"),), 0, total)
    try:
        for series, claim in claimed.items():
            ids, name = claim.ids, " ".join(filter(None, series[1:]))
            if clock_s() > deadline_s:
                detail = (
                    f"its rows could not be counted within {_BUDGET_S:.0f} s; `ledger --verify` takes longer"
                )
                results.append(Result(name, Status.UNKNOWN, detail))
                continue
            found, whole = _newest(reader, series, claim, expiring=uptime_s > _EXPIRING_S)
            asked = ids if whole else IdRanges(ids.within(min(found, default=(-(2**63), 0))[0], 2**63 - 1))
            counted += asked.id_count()
            results.append(_compare(name, series, asked.difference(found)))
    except StoreError as error:
        results.append(Result("the store", Status.UNKNOWN, f"cannot be counted: {error}"))
    finally:
        reader.close()
    return Counted(tuple(results), counted, total)


def _newest(reader: Reader, series: LedgerSeries, claim: Claim, *, expiring: bool) -> tuple[IdRanges, bool]:
    """Ids of the newest rows in the claim's time, and whether these are all rows of that time."""
    span = Span(
        from_ms=None if claim.from_ms is None else claim.from_ms - _MARGIN_MS,
        to_ms=None if claim.to_ms is None else claim.to_ms + _MARGIN_MS,
    )
    found = count_points(reader, series, span, with_indicators=False, last=_MOST_ROWS)
    rows = found.ids.id_count() + found.repeated
    return found.ids, rows < _MOST_ROWS and not (expiring and found.ids)


def _compare(name: str, series: LedgerSeries, missing: IdRanges) -> Result:
    if not missing:
        return Result(name, Status.OK)
    gone = shortfall(missing, series.unit)
    return Result(
        name,
        Status.MISSING,
        f"{gone.count:,} said to be stored are not in the store: {ranges_text(series.stream, gone.ranges)}",
    )
