"""Outcomes as a table for people, and as the dated section of a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from oracle.outcome import Outcome

_BEGIN: Final = "<!-- results: begin -->"
_END: Final = "<!-- results: end -->"


def summary(outcomes: Sequence[Outcome]) -> str:
    """One line: how many runs held, what was wrong with the others, how many ended with exit code 0."""
    red = [outcome for outcome in outcomes if outcome.violations]
    unmade = sum(outcome.error is not None for outcome in outcomes)
    kinds = Counter(kind for outcome in red for kind in {violation.kind for violation in outcome.violations})
    said = ", ".join(f"{kind} in {count}" for kind, count in kinds.most_common())
    complete = sum(outcome.exit_code == 0 for outcome in outcomes)
    return (
        f"{len(outcomes)} runs: {len(outcomes) - len(red) - unmade} held, {len(red)} red"
        f"{f' ({said})' if said else ''}{f', {unmade} not made' if unmade else ''};"
        f" exit code 0 in {complete}"
    )


def as_table(outcomes: Sequence[Outcome]) -> str:
    """One line per run, and one per violation."""
    lines = []
    for outcome in outcomes:
        lines.append(outcome.line)
        lines += [f"    {violation}" for violation in outcome.violations]
    return "\n".join(lines) + "\n"


def as_page(page: str, outcomes: Sequence[Outcome], now: datetime) -> str:
    """The page with the results between its two markers, or at its end if it has none."""
    rows = ["| kind of trouble | runs | exit 0 | missing and said so | red |", "|---|---|---|---|---|"]
    for family in sorted({_family(outcome) for outcome in outcomes}):
        of = [outcome for outcome in outcomes if _family(outcome) == family]
        rows.append(
            f"| {family} | {len(of)} | {sum(one.exit_code == 0 for one in of)}"
            f" | {sum(one.exit_code == 1 and one.missing > 0 for one in of)}"
            f" | {', '.join(str(one.plan.seed) for one in of if not one.good) or '–'} |"
        )
    red = [line for one in outcomes if not one.good for line in (one.line, *map(str, one.violations))]
    section = "\n".join(
        [
            _BEGIN,
            f"{now:%Y-%m-%d}: {summary(outcomes)}.",
            "",
            *rows,
            *(["", "```", *red, "```"] if red else []),
            _END,
        ]
    )
    if _BEGIN in page and _END in page:
        return page[: page.index(_BEGIN)] + section + page[page.index(_END) + len(_END) :]
    return f"{page.rstrip()}\n\n{section}\n".lstrip()


def _family(outcome: Outcome) -> str:
    """The first fault of a plan, without figures."""
    return outcome.plan.title.split(" + ")[0].split(":")[0].split(" (")[0]
