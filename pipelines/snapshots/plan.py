"""What a run has to do: take its slot, or only fill what is missing. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from pipelines.snapshots.rows import SnapshotRow
from pipelines.snapshots.slots import slots_between
from producers.exchanges.binance import weight_budget as weights

# Outages of up to a week are filled by the first run after them: 2,304 bars of 5 minutes a symbol, 3 pages.
LOOKBACK_MS: Final = 7 * 86_400_000
# What a run fills, or holds at once while it lands what has waited. A week of three symbols is 6,048.
MOST_ROWS: Final = 10_000
SYMBOL_WEIGHT: Final = weights.DAY_TICKER_WEIGHT + weights.SMALL_DEPTH_WEIGHT + weights.TRADES_WEIGHT
NOT_TAKEN: Final = "not taken"
_MINUTE_MS: Final = 60_000
# A slot must be finished well before the next one, and something is left to whoever else sits behind the IP.
_PART_OF_SLOT: Final = 0.6
_LARGEST_SHARE: Final = 0.9
_STATUSES_A_REQUEST: Final = 100


def is_late(slot_ms: int, now_ms: int, interval_ms: int) -> bool:
    """Whether a slot is over, by the exchange's time: it lasts until the next, then its market is gone."""
    return now_ms >= slot_ms + interval_ms


def holes_of(  # noqa: PLR0917 - all that is known of a place
    slot_ms: int,
    now_ms: int,
    interval_ms: int,
    handled: Collection[int],
    symbols: int,
    past: bool = False,
) -> tuple[int, ...]:
    """Passed slots, ascending, of which there is no row; a run's own if it is late.

    The oldest MOST_ROWS rows' worth: runs after this one fill the others.

    Args:
        now_ms: the exchange's time.
        handled: slots of the last LOOKBACK_MS that have rows.
        symbols: how many there are.
        past: there are rows from before that: after a longer outage all of it is a hole.
    """
    known = [slot for slot in handled if slot_ms - LOOKBACK_MS <= slot < slot_ms]
    first_ms = min(known, default=slot_ms - LOOKBACK_MS if past else slot_ms)
    missed = set(slots_between(first_ms, slot_ms, interval_ms)) - set(known)
    holes = sorted(missed)[: max(1, MOST_ROWS // symbols)]
    if is_late(slot_ms, now_ms, interval_ms) and slot_ms not in handled:
        holes.append(slot_ms)
    return tuple(holes)


def wanted(
    symbols: Sequence[str],
    holes: Sequence[int],
    unsettled: Mapping[int, Sequence[SnapshotRow]],
    over_ms: int,
    settled: tuple[int, Collection[str]] = (0, ()),
) -> dict[str, dict[int, str]]:
    """What klines are to fill: by symbol, the slots, ascending, and why each is not complete.

    Args:
        over_ms: slots after this one are not over: a run may still observe them, and the exchange's database,
            which trails its stream, may lack their bar.
        settled: a slot, and symbols of which it needs no row.
    """
    reasons: dict[str, dict[int, str]] = {symbol: dict.fromkeys(holes, NOT_TAKEN) for symbol in symbols}
    for slot_ms, rows in unsettled.items():
        for row in rows if slot_ms <= over_ms else ():
            reasons.setdefault(row.symbol, {})[slot_ms] = row.reason or NOT_TAKEN
    for symbol in reasons.keys() & settled[1]:
        reasons[symbol].pop(settled[0], None)
    return {symbol: dict(sorted(slots.items())) for symbol, slots in reasons.items() if slots}


def slot_weight(symbols: int) -> int:
    """Request weight of one slot: three requests a symbol, statuses, the clock (BINANCE_SPOT.md §8.1)."""
    return (
        symbols * SYMBOL_WEIGHT
        + status_requests(symbols) * weights.EXCHANGE_INFO_WEIGHT
        + weights.TIME_WEIGHT
    )


def status_requests(symbols: int) -> int:
    return -(-symbols // _STATUSES_A_REQUEST)


def weight_share(symbols: int, interval_ms: int, limit: int = weights.DEFAULT_LIMIT) -> float | None:
    """Share of the weight limit that a slot needs to be done in time; None if there is none.

    Half, as everywhere here, while that does; more where many symbols need it, so that a slot takes three
    fifths of its length.
    """
    minutes = interval_ms * _PART_OF_SLOT / _MINUTE_MS
    # Budgets are of whole calendar minutes.
    share = slot_weight(symbols) / (limit * max(1, int(minutes)))
    return None if share > _LARGEST_SHARE else max(weights.SHARE, share)


def batches(symbols: Sequence[str]) -> list[Sequence[str]]:
    """Symbols as they are asked for by one request of exchangeInfo."""
    return [symbols[at : at + _STATUSES_A_REQUEST] for at in range(0, len(symbols), _STATUSES_A_REQUEST)]
