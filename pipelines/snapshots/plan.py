"""The plan of a run: whether its slot is late, which slots to fill, request weight. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from pipelines.snapshots.observation import SOURCE
from pipelines.snapshots.rows import SnapshotRow
from pipelines.snapshots.slots import slots_between

# Outages of up to a week are filled by the first run after them: 2,304 bars of 5 minutes a symbol, 3 pages.
LOOKBACK_MS: Final = 7 * 86_400_000
# Most rows that a run fills, or has in memory while it drains the spool. A week of three symbols is 6,048.
MOST_ROWS: Final = 10_000
_COST: Final = SOURCE.snapshot_cost
NOT_TAKEN: Final = "not taken"
_MINUTE_MS: Final = 60_000
# A slot must end well before the next one, and leave weight to other users of the IP address.
_PART_OF_SLOT: Final = 0.6
_LARGEST_SHARE: Final = 0.9
_STATUSES_A_REQUEST: Final = _COST.statuses_at_once


def is_late(slot_ms: int, now_ms: int, interval_ms: int) -> bool:
    """Whether a slot is over, by the exchange's time; it lasts until the next one."""
    return now_ms >= slot_ms + interval_ms


def holes_of(  # noqa: PLR0917
    slot_ms: int,
    now_ms: int,
    interval_ms: int,
    handled: Collection[int],
    symbols: int,
    past: bool = False,
) -> tuple[int, ...]:
    """Passed slots without a row, ascending; a late run's own slot too.

    At most the oldest MOST_ROWS rows' worth: later runs fill the others.

    Args:
        now_ms: the exchange's time.
        handled: slots of the last LOOKBACK_MS that have rows.
        symbols: how many there are.
        past: there are rows from before: after a longer outage the whole lookback is a hole.
    """
    known = [slot for slot in handled if slot_ms - LOOKBACK_MS <= slot < slot_ms]
    first_ms = min(known, default=slot_ms - LOOKBACK_MS if past else slot_ms)
    missed = set(slots_between(first_ms, slot_ms, interval_ms)) - set(known)
    holes = sorted(missed)[: max(1, MOST_ROWS // symbols)]
    if is_late(slot_ms, now_ms, interval_ms) and slot_ms not in handled:
        holes.append(slot_ms)
    return tuple(holes)


def slots_to_fill(
    symbols: Sequence[str],
    holes: Sequence[int],
    unsettled: Mapping[int, Sequence[SnapshotRow]],
    over_ms: int,
    settled: tuple[int, Collection[str]] = (0, ()),
) -> dict[str, dict[int, str]]:
    """Slots to fill from klines, by symbol, ascending, with the reason why each is not complete.

    Args:
        over_ms: later slots are not over: a run may still observe them, and the exchange's database, which
            trails its stream, may lack their bar.
        settled: a slot, and the symbols that need no row there.
    """
    reasons: dict[str, dict[int, str]] = {symbol: dict.fromkeys(holes, NOT_TAKEN) for symbol in symbols}
    for slot_ms, rows in unsettled.items():
        for row in rows if slot_ms <= over_ms else ():
            reasons.setdefault(row.symbol, {})[slot_ms] = row.reason or NOT_TAKEN
    for symbol in reasons.keys() & settled[1]:
        reasons[symbol].pop(settled[0], None)
    return {symbol: dict(sorted(slots.items())) for symbol, slots in reasons.items() if slots}


def slot_weight(symbols: int) -> int:
    """Request weight of one slot: three requests a symbol, statuses, the clock."""
    return symbols * _COST.symbol + status_requests(symbols) * _COST.statuses + _COST.clock


def status_requests(symbols: int) -> int:
    return -(-symbols // _STATUSES_A_REQUEST)


def weight_share(symbols: int, interval_ms: int, limit: int = _COST.limit) -> float | None:
    """Share of the weight limit that a slot needs to finish in time; None if that is impossible.

    Half, as in all services, where that suffices; more where many symbols need it, so that a slot takes three
    fifths of its length.
    """
    minutes = interval_ms * _PART_OF_SLOT / _MINUTE_MS
    # Budgets are of whole calendar minutes.
    share = slot_weight(symbols) / (limit * max(1, int(minutes)))
    return None if share > _LARGEST_SHARE else max(_COST.share, share)


def batches(symbols: Sequence[str]) -> list[Sequence[str]]:
    """Symbols in batches of one exchangeInfo request."""
    return [symbols[at : at + _STATUSES_A_REQUEST] for at in range(0, len(symbols), _STATUSES_A_REQUEST)]
