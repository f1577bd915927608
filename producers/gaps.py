"""Holes in a stream and their causes (DESIGN §5). Pure.

Trades are followed by id, order-book diffs by update ids, bars by open time; neighbours differ by a step (1,
or the interval). Quotes have no sequence to check, since not every update id changes the best price: only
their age is watched (`producers.watchdog`), and nothing is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final, Literal, NamedTuple

from producers.halts import Halts
from shared.id_ranges import IdRanges
from shared.models import LedgerKind

# Why ids are missing: not received; exchangeInfo said closed; the bars on both sides prove that there was no
# trade; we were switched off.
Cause = Literal["missed", "halted", "no trades", "offline"]

# The ledger's kind of a hole that the exchange cannot fill. Bars that are left out for want of trades are
# expected until REST was asked some times: they are excused like those of a halt.
KIND_BY_CAUSE: Final[dict[Cause, LedgerKind]] = {
    "missed": "lost",
    "halted": "halted",
    "no trades": "halted",
    "offline": "offline",
}


class Continuity(Enum):
    """How ids continue the known ones."""

    DUPLICATE = "duplicate"  # all are known
    CONTIGUOUS = "contiguous"  # none is missing before them; some may be known
    GAP = "gap"  # ids are missing before them


class Hole(NamedTuple):
    """Missing ids, both ends inclusive (open times for bars)."""

    first: int
    last: int
    cause: Cause


def continuity(known: int, first: int, last: int, step: int = 1) -> Continuity:
    """How the ids `first` to `last` continue, with all up to `known` known."""
    if last <= known:
        return Continuity.DUPLICATE
    return Continuity.CONTIGUOUS if first <= known + step else Continuity.GAP


def holes_of_bars(
    first: int, last: int, step: int, *, no_trades: bool, halts: Halts, offline_last: int
) -> Iterator[Hole]:
    """The missing bars `first` to `last` in order, divided by cause.

    Args:
        no_trades: the trade ids of the bars on both sides join (BINANCE_SPOT.md §4.5, `f` and `L`).
        offline_last: bars up to this one closed while we were switched off.
    """
    if no_trades:
        yield Hole(first, last, "no trades")
        return
    halted = halts.halted_bars(first, last, step)
    causes: list[Hole] = [Hole(low * step, high * step, "halted") for low, high in halted]
    for low, high in IdRanges([(first // step, last // step)]).difference(halted):
        begin, end = low * step, high * step
        if begin <= offline_last:
            causes.append(Hole(begin, min(end, offline_last), "offline"))
            begin = offline_last + step
        if begin <= end:
            causes.append(Hole(begin, end, "missed"))
    yield from sorted(causes)


def cause_of_trades(before_ms: int | None, after_ms: int, *, offline: bool, halts: Halts) -> Cause:
    """Why trades between two known ones are missing.

    Trade ids are issued without holes, so unlike bars they are `halted` only if the exchange was seen closed
    between the two.

    Args:
        before_ms, after_ms: trade times of the known ones; None if unknown.
        offline: we were switched off between them.
    """
    if before_ms is not None and halts.seen_closed(before_ms, after_ms):
        return "halted"
    return "offline" if offline else "missed"
