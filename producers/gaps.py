"""Holes in a stream: where they are, and why they are there (DESIGN §5). Pure.

Trades are followed by their id, order-book diffs by their update ids, bars by open time; neighbours differ
by a step (1, or the interval). Quotes have no sequence to check, since not every update id changes
the best price: only their age tells (`producers.watchdog`), and nothing is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final, Literal, NamedTuple

from producers.halts import Halts
from shared.id_ranges import IdRanges
from shared.models import LedgerKind

# Why ids are missing: we did not get them; exchangeInfo said closed; the bars on both sides prove that no
# trade lies between; we were switched off.
Cause = Literal["missed", "halted", "no trades", "offline"]

# What a hole is in the ledger when the exchange has nothing to fill it with. That bars without trades were
# left out is known only after some asking, until which they are expected: they need an excuse as a halt does.
KIND_BY_CAUSE: Final[dict[Cause, LedgerKind]] = {
    "missed": "lost",
    "halted": "halted",
    "no trades": "halted",
    "offline": "offline",
}


class Place(Enum):
    """Where ids stand to what is known."""

    SEEN = "seen"  # all of them are known
    JOINS = "joins"  # nothing is missing before them; some may be known
    BEYOND = "beyond"  # ids are missing before them


class Hole(NamedTuple):
    """Missing ids, both ends inclusive (open times for bars)."""

    first: int
    last: int
    cause: Cause


def place(known: int, first: int, last: int, step: int = 1) -> Place:
    """Where the ids `first` to `last` stand, with all up to `known` known."""
    if last <= known:
        return Place.SEEN
    return Place.JOINS if first <= known + step else Place.BEYOND


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

    Trades are issued without a hole in their ids, so unlike bars they are `halted` only if the exchange was
    seen closed between the two.

    Args:
        before_ms, after_ms: trade times of the known ones; None if nobody remembers.
        offline: we were switched off between them.
    """
    if before_ms is not None and halts.seen_closed(before_ms, after_ms):
        return "halted"
    return "offline" if offline else "missed"
