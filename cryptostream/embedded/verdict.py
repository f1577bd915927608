"""How a run ended: the completeness ledger and the exit code, from plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptostream.embedded.snapshot import LedgerRow
from shared import trade_ids

_RANGES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """Exit code, and the line that says it with one line for each thing that is wrong."""

    exit_code: int
    line: str
    faults: tuple[str, ...] = ()


def judge(ledger: Sequence[LedgerRow], unclean: Sequence[str], *, data_awaited: bool) -> Verdict:
    """0 only if the promises of DESIGN §5 held: nothing lost, every child ended in order.

    Args:
        unclean: one line for each child that did not end cleanly.
        data_awaited: trades or bars should have come; a run that was stopped at once, or a recording without
            trades and bars, is not blamed for having none.
    """
    faults = [*map(_missing, filter(lambda row: row.lost, ledger)), *unclean]
    expected = sum(row.expected for row in ledger)
    if not expected and data_awaited:
        faults.append("no trade and no bar arrived; the logs in the data directory say why")
    if faults:
        return Verdict(1, "NOT COMPLETE", tuple(faults))
    excused = sum(row.halted + row.offline for row in ledger)
    aside = f" ({excused:,} of them while the exchange was halted or we were off)" if excused else ""
    if not expected:
        return Verdict(0, "complete: nothing had to be stored")
    return Verdict(0, f"complete: {expected:,} trades and bars expected{aside}, nothing lost")


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
    text = trade_ids.shown if row.stream == "trades" else str
    shown = ", ".join(
        text(first) if first == last else f"{text(first)}–{text(last)}"
        for first, last in row.lost_ranges[:_RANGES_SHOWN]
    )
    more = len(row.lost_ranges) - _RANGES_SHOWN
    unit = "trade ids" if row.stream == "trades" else "open times"
    return f"{name}: {row.lost:,} lost: {unit} {shown}{f' and {more} more ranges' if more > 0 else ''}"
