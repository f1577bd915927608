"""How a run ended: its ledger, all that was looked at, and the exit code. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptostream.embedded.evidence import Look, State
from cryptostream.embedded.snapshot import LedgerRow
from shared.trade_ids import shown

_RANGES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """Exit code, and the line that says it with one line for each thing that is wrong."""

    exit_code: int
    line: str
    faults: tuple[str, ...] = ()


def judge(
    ledger: Sequence[LedgerRow], looks: Sequence[Look], unclean: Sequence[str], *, looked_at: str = ""
) -> Verdict:
    """0 only if everything that had to be looked at was looked at and is there (DESIGN §5.3).

    Args:
        looks: one for each thing that had to be looked at.
        unclean: one line for each child that did not end cleanly.
        looked_at: what the looks were, for the line of a complete run.
    """
    faults = [
        *map(_missing, filter(lambda row: row.lost, ledger)),
        *(str(look) for look in looks if look.state is not State.SEEN),
        *unclean,
    ]
    if faults:
        return Verdict(1, "NOT COMPLETE", tuple(dict.fromkeys(faults)))
    expected = sum(row.expected for row in ledger)
    excused = sum(row.halted + row.offline for row in ledger)
    aside = f" ({excused:,} of them while the exchange was halted or we were off)" if excused else ""
    seen = f"; looked at: {looked_at}" if looked_at else ""
    return Verdict(0, f"complete: {expected:,} trades and bars expected{aside}, nothing lost{seen}")


def merged_by_stream(ledger: Sequence[LedgerRow]) -> tuple[LedgerRow, ...]:
    """One row for each stream and interval, over all symbols."""
    sums: dict[tuple[str, str], LedgerRow] = {}
    for row in ledger:
        key = (row.stream, row.interval)
        so_far = sums.get(key, LedgerRow("", row.stream, row.interval))
        sums[key] = LedgerRow(
            symbol="",
            stream=row.stream,
            interval=row.interval,
            expected=so_far.expected + row.expected,
            stored=so_far.stored + row.stored,
            backfilled=so_far.backfilled + row.backfilled,
            halted=so_far.halted + row.halted,
            offline=so_far.offline + row.offline,
            lost=so_far.lost + row.lost,
            duplicates=so_far.duplicates + row.duplicates,
        )
    return tuple(sums.values())


def _missing(row: LedgerRow) -> str:
    name = " ".join(filter(None, (row.symbol, row.stream, row.interval)))
    text = shown if row.stream == "trades" else str
    ranges = ", ".join(
        text(first) if first == last else f"{text(first)}–{text(last)}"
        for first, last in row.lost_ranges[:_RANGES_SHOWN]
    )
    more = len(row.lost_ranges) - _RANGES_SHOWN
    unit = "trade ids" if row.stream == "trades" else "open times"
    return f"{name}: {row.lost:,} missing: {unit} {ranges}{f' and {more} more ranges' if more > 0 else ''}"
