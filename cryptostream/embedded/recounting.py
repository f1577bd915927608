"""The store counted again at the end of a run: what the ledger says is stored must be there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from consumers.ledger_events import LedgerSeries
from consumers.measurements import KLINE, TRADE
from consumers.stores.expiry import TICKS_EXPIRY_NS
from consumers.stores.port import Reader, Row
from cryptostream.embedded.evidence import Look, State
from cryptostream.ledger_report.recount import shortfall
from shared.errors import StoreError
from shared.id_ranges import IdRanges
from shared.trade_ids import shown

# Rows that are read of one series, the newest ones: a second or two each.
_MOST_ROWS: Final = 50_000
# All series together; those that are not reached are said to be unknown only if none of their rows was seen.
_BUDGET_S: Final = 60.0
_NS_PER_MS: Final = 1_000_000
# The ledger dates what it expects by single ids of a second's batch.
_MARGIN_MS: Final = 3_600_000
_RANGES_SHOWN: Final = 3
# Some rows of so long a run may have expired; then the oldest row that is there is where the count begins.
_EXPIRING_S: Final = TICKS_EXPIRY_NS / 10**9 - 86_400


@dataclass(frozen=True, slots=True)
class Claim:
    """Ids of which the store is said to have the rows, and the time they lie in, if it is known."""

    ids: IdRanges
    from_ms: int | None = None
    to_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """The looks at all series.

    Attributes:
        rows: how many claimed rows were looked for.
        claimed: how many there are in all.
    """

    looks: tuple[Look, ...]
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
    looks: list[Look] = []
    counted, deadline_s = 0, clock_s() + _BUDGET_S
    claimed = {series: claim for series, claim in claims.items() if claim.ids}
    total = sum(claim.ids.id_count() for claim in claimed.values())
    try:
        reader = open_reader()
    except StoreError as error:
        return Counted((Look("the store", State.UNKNOWN, f"cannot be looked at: {error}"),), 0, total)
    try:
        for series, claim in claimed.items():
            ids, name = claim.ids, " ".join(filter(None, series[1:]))
            if clock_s() > deadline_s:
                said = (
                    f"its rows could not be counted within {_BUDGET_S:.0f} s; `ledger --verify` takes longer"
                )
                looks.append(Look(name, State.UNKNOWN, said))
                continue
            found, whole = _newest(reader, series, claim, expiring=uptime_s > _EXPIRING_S)
            asked = ids if whole else IdRanges(ids.within(_first(found), 2**63 - 1))
            counted += asked.id_count()
            looks.append(_look(name, series, asked.difference(found)))
    except StoreError as error:
        looks.append(Look("the store", State.UNKNOWN, f"cannot be counted: {error}"))
    finally:
        reader.close()
    return Counted(tuple(looks), counted, total)


def _newest(reader: Reader, series: LedgerSeries, claim: Claim, *, expiring: bool) -> tuple[IdRanges, bool]:
    """Ids of the newest rows of the claim's time, and whether these are all that there are."""
    bars = series.stream == "klines"
    tags = {"exchange": series.exchange, "symbol": series.symbol}
    if bars:
        tags["interval"] = series.interval
    from_ns = None if claim.from_ms is None else (claim.from_ms - _MARGIN_MS) * _NS_PER_MS
    to_ns = None if claim.to_ms is None else (claim.to_ms + _MARGIN_MS) * _NS_PER_MS
    found, read = IdRanges(), 0
    name = KLINE.name if bars else TRADE.name
    for row in reader.read(name, tags, from_ns=from_ns, to_ns=to_ns, last=_MOST_ROWS):
        item = _id(row, series)
        found.add(item, item)
        read += 1
    return found, read < _MOST_ROWS and not (expiring and found)


def _id(row: Row, series: LedgerSeries) -> int:
    if series.stream == "trades":
        return int(row["trade_id"] or 0)
    return int(row["time_ns"] or 0) // _NS_PER_MS // series.unit


def _first(ids: IdRanges) -> int:
    return next((first for first, _ in ids), -(2**63))


def _look(name: str, series: LedgerSeries, missing: IdRanges) -> Look:
    if not missing:
        return Look(name, State.SEEN)
    gone = shortfall(missing, series.unit)
    return Look(
        name,
        State.MISSING,
        f"{gone.count:,} said to be stored are not in the store: {_ranges(series, gone.ranges)}",
    )


def _ranges(series: LedgerSeries, ranges: Iterable[tuple[int, int]]) -> str:
    text = shown if series.stream == "trades" else str
    each = [text(first) if first == last else f"{text(first)}–{text(last)}" for first, last in ranges]
    more = len(each) - _RANGES_SHOWN
    unit = "trade ids" if series.stream == "trades" else "open times"
    return f"{unit} {', '.join(each[:_RANGES_SHOWN])}{f' and {more} more ranges' if more > 0 else ''}"
