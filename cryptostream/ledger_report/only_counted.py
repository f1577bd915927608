"""What a report says of ids that the ledger has only counted (`consumers.rolled_up`). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consumers.ledger_account import Account
from consumers.rolled_up import NOTED, REASONS
from cryptostream.ledger_report.report import Range, Span, Unknown


def older_than_kept(account: Account, span: Span) -> Unknown | None:
    """The time of which only numbers are kept, if it is asked for; of all time these numbers are enough,
    unless some are lost."""
    rolled = account.rolled_up
    if not rolled.floored:
        return None
    until_ms = _kept_from_ms(account)
    expected, lost = rolled.counts["expected"], rolled.counts["lost"]
    if not span.overlaps(None, until_ms) or not (span.timed or lost):
        return None
    why = f"older than what is kept by id, known by number alone: {expected:,} expected, {lost:,} lost"
    return Unknown((account.series,), None, until_ms, why)


def counts_of_time(
    account: Account, windows: Sequence[Range], counted: Mapping[str, int]
) -> dict[str, int | None]:
    """The counts of the ids of some time, by set, None for those that are not known.

    Args:
        windows: these ids.
        counted: those of them that are in each set.
    """
    rolled, told = account.rolled_up, dict[str, int | None](counted)
    begin = min((first for first, _ in windows), default=None)
    if begin is None:
        return told
    told |= {name: None for name in NOTED if begin < max(rolled.noted_from[name], rolled.floor)}
    if begin < rolled.floor or any(rolled.settled.intersection_count(*window) for window in windows):
        told |= dict.fromkeys(REASONS)
    return told


def claimed_by_number(account: Account) -> tuple[int, int]:
    """How many of the ids that are only counted must be in the store, and how many more may be: the others
    may have been stored after they were counted."""
    counts = account.rolled_up.counts
    return counts["stored"], counts["halted"] + counts["offline"] + counts["lost"]


def _kept_from_ms(account: Account) -> int | None:
    """The end of the time of which only numbers are kept; None if it is not known."""
    floor, unit = account.rolled_up.floor, account.series.unit
    if account.series.stream == "klines":
        return floor * unit
    times = account.times_of(floor - 1, floor)
    return times[1] if times is not None else None
