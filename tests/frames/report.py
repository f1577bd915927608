"""The dated result of a whole run, between two marks of a page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.frames.run import Outcome

BEGIN, END = "<!-- frames -->\n", "<!-- end of frames -->\n"


def written(page: str, outcome: Outcome, seed: int) -> None:
    """Put the result in place of the one before.

    Raises:
        ValueError: the page has no place for it.
    """
    path = Path(page)
    head, begin, rest = path.read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no lines {BEGIN.strip()} and {END.strip()}")
    path.write_text(f"{head}{BEGIN}\n{result(outcome, seed, datetime.now(UTC))}\n{END}{tail}")


def result(outcome: Outcome, seed: int, now: datetime) -> str:
    """Figures as a paragraph and a table."""
    rows = "".join(f"| {name} | {count:,} |\n" for name, count in sorted(outcome.counts.items()))
    return (
        f"{now:%Y-%m-%d}, seed {seed}: {outcome.total:,} in {outcome.cpu_s:,.0f} s of a processor;"
        f" {outcome.series:,} good series between them, each right again within {outcome.worst_s} s;"
        f" at most {outcome.peak_mb:.0f} MB; the longest record {outcome.longest:,} bytes.\n\n"
        f"| what became of it | how many |\n|---|---|\n{rows}"
    )
