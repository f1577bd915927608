"""The outcome of a run: its exit code, and what is wrong. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryptostream.run.proof.checks import Result, Status, ranges_text
from cryptostream.run.view import LEDGER_COUNTS, LedgerRow


@dataclass(frozen=True, slots=True)
class Outcome:
    """The exit code, the last line, and one line for each fault."""

    exit_code: int
    line: str
    faults: tuple[str, ...] = ()


def classify(
    ledger: Sequence[LedgerRow], results: Sequence[Result], unclean: Sequence[str], *, checked: str = ""
) -> Outcome:
    """Exit code 0 only if every check could be made and found everything (DESIGN §5.3).

    Args:
        results: of all checks.
        unclean: one line for each child that did not end cleanly.
        checked: what was checked, for the last line of a complete run.
    """
    faults = [
        *map(_missing, filter(lambda row: row.lost, ledger)),
        *(str(result) for result in results if result.status is not Status.OK),
        *unclean,
    ]
    if not results:
        faults.append("nothing was checked")
    if faults:
        return Outcome(1, "NOT COMPLETE", tuple(dict.fromkeys(faults)))
    expected = sum(row.expected for row in ledger)
    excused = sum(row.halted + row.offline for row in ledger)
    aside = f" ({excused:,} of them while the exchange was halted or we were off)" if excused else ""
    proof = f"; checked: {checked}" if checked else ""
    return Outcome(0, f"complete: {expected:,} trades and bars expected{aside}, nothing lost{proof}")


def merged_by_stream(ledger: Sequence[LedgerRow]) -> tuple[LedgerRow, ...]:
    """One row for each stream and interval, over all symbols."""
    sums: dict[tuple[str, str], LedgerRow] = {}
    for row in ledger:
        key = (row.stream, row.interval)
        so_far = sums.get(key, LedgerRow("", row.stream, row.interval))
        counts = {name: getattr(so_far, name) + getattr(row, name) for name in LEDGER_COUNTS}
        sums[key] = replace(so_far, **counts)
    return tuple(sums.values())


def _missing(row: LedgerRow) -> str:
    name = " ".join(filter(None, (row.symbol, row.stream, row.interval)))
    return f"{name}: {row.lost:,} missing: {ranges_text(row.stream, row.lost_ranges)}"
