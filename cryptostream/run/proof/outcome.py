"""The outcome of a run: its exit code, and what is wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from cryptostream.run.proof.checks import Result, Status, ranges_text
from cryptostream.run.view import LEDGER_COUNTS, LedgerRow
from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS


@dataclass(frozen=True, slots=True)
class Outcome:
    """The exit code, the last line, and one line for each fault."""

    exit_code: int
    line: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What the checks of one exchange have found.

    Attributes:
        results: they say whose they are, where there are several exchanges.
        checked: what was checked, as text.
        services: of its producers, which prove nothing of the data.
    """

    exchange: str
    results: tuple[Result, ...]
    checked: str
    services: tuple[Result, ...] = ()


def verdicts(
    ledger: Sequence[LedgerRow], parts: Sequence[Part], results: Sequence[Result]
) -> tuple[str, ...]:
    """A line for each exchange, if there are several.

    Args:
        results: of checks that belong to no exchange, so that each rests on them.
    """
    if len(parts) < 2:
        return ()
    lines = []
    for part in parts:
        rows = [row for row in ledger if row.exchange == part.exchange]
        everything = (*part.results, *part.services, *results)
        unchecked = [] if part.results else ["nothing was checked"]
        lines.append(f"{part.exchange}: {classify(rows, everything, unchecked, checked=part.checked).line}")
    return tuple(lines)


def conclude(
    ledger: Sequence[LedgerRow], parts: Sequence[Part], results: Sequence[Result], unclean: Sequence[str]
) -> Outcome:
    """The outcome of the whole run: it is complete if each exchange is.

    Args:
        results: of checks that belong to no exchange.
        unclean: one line for each child that did not end cleanly.
    """
    checked = f"each of {len(parts)} exchanges, as above"
    if len(parts) < 2:
        checked = "".join(part.checked for part in parts)
    unchecked = [f"{part.exchange}: nothing was checked" for part in parts if not part.results]
    if not parts:
        # Services that are well prove nothing of the data.
        unchecked = ["nothing of any exchange was checked"]
    everything = [*results, *(result for part in parts for result in (*part.services, *part.results))]
    return classify(ledger, everything, [*unclean, *unchecked], checked=checked)


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
        *(line for row in ledger for line in _faults(row)),
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


def _faults(row: LedgerRow) -> Iterator[str]:
    """What a series lacks, and which of its bars are wrong."""
    name = " ".join(filter(None, (row.symbol, row.stream, row.interval)))
    unit = INTERVAL_MS.get(row.interval, 1)
    different = _numbers(row.different, unit)
    if missing := row.lost - different.id_count():
        left = _numbers(row.lost_ranges, unit).difference(different)
        shown = [(first * unit, last * unit) for first, last in left]
        yield f"{name}: {missing:,} missing: {ranges_text(row.stream, shown)}"
    if different:
        shown = list(row.different)
        yield f"{name}: {different.id_count():,} differ from their trades: {ranges_text(row.stream, shown)}"


def _numbers(ranges: Iterable[tuple[int, int]], unit: int) -> IdRanges:
    return IdRanges((first // unit, last // unit) for first, last in ranges)
