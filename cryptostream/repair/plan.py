"""Which ids are missing, and in which requests to ask for them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from shared.id_ranges import IdRanges

# Rows of one REST answer (BINANCE_SPOT.md §8.4, §8.6).
PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a series.

    Attributes:
        stored: ids that the ledger says are in the store.
        halted: bars that never were, for the exchange was closed.
        found: ids that the store really has; None if it could not be asked.
        expired: up to this id the store may have let points go: there the ledger's word counts.
    """

    stored: IdRanges
    halted: IdRanges
    found: IdRanges | None
    expired: int


def missing(first: int, last: int, known: Known) -> IdRanges:
    """The ids from `first` to `last` that are not stored, or that are claimed and not there."""
    there = known.stored
    if known.found is not None:
        there = IdRanges(known.stored.within(-(2**63), known.expired))
        there.update(known.found)
    ids = IdRanges([(first, last)]) if first <= last else IdRanges()
    return ids.difference(there).difference(known.halted)


def pages(ids: IdRanges) -> Iterator[tuple[int, int]]:
    """Requests of at most a page each that cover all ids; near ones share a request."""
    ranges = list(ids)
    while ranges:
        first = ranges[0][0]
        inside = [(f, min(e, first + PAGE - 1)) for f, e in ranges if f < first + PAGE]
        last = inside[-1][1]
        yield first, last
        ranges = [(max(f, last + 1), e) for f, e in ranges if e > last]
