"""docs/mutants.md: what became of each mutant, and why survivors survived."""

from __future__ import annotations

import subprocess
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.mutants.trial import Outcome

BEGIN, END = "<!-- mutants: written by make mutants -->\n", "<!-- end of mutants -->\n"
REASONS: Final = Path(__file__).with_name("survivors.toml")


def reasons_of(file: Path) -> dict[tuple[str, str, str], str]:
    """Why mutants survive, by path, text of the line and operator: a line's number changes too often."""
    entries = tomllib.loads(file.read_text(encoding="utf-8")).get("survivor", [])
    return {(each["path"], each["text"], each["operator"]): each["reason"] for each in entries}


def written(page: Path, outcomes: Sequence[Outcome], seed: int, seeds: int) -> None:
    """Put the result in place of the one before.

    Raises:
        ValueError: the page has no place for it.
    """
    head, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no lines {BEGIN.strip()} and {END.strip()}")
    made = f"{datetime.now(UTC):%Y-%m-%d}, commit {_commit(page.parent)}, `make mutants`, seed {seed}"
    text = result(outcomes, reasons_of(REASONS), head=made, seeds=seeds)
    page.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


def result(
    outcomes: Sequence[Outcome],
    reasons: Mapping[tuple[str, str, str], str],
    *,
    head: str,
    seeds: int,
) -> str:
    """Figures, a table of who noticed, and the survivors with their reasons.

    Args:
        head: when and on what.
        seeds: of the simulation.
    """
    survivors = [outcome for outcome in outcomes if outcome.noticed_by is None]
    stages = Counter(
        f"{outcome.noticed_by}{', which hung' if outcome.hung else ''}"
        for outcome in outcomes
        if outcome.noticed_by is not None
    )
    simulated = f", and {seeds:,} seeds of the simulation" if seeds else ""
    noticed = len(outcomes) - len(survivors)
    lines = [
        f"{head}: {len(outcomes)} mutants, **{noticed} noticed** by unit tests{simulated}.",
        "",
        "| noticed by | mutants |",
        "|---|--:|",
        *(f"| {name} | {count} |" for name, count in stages.most_common()),
        f"| nothing | {len(survivors)} |",
        "",
    ]
    if survivors:
        lines += ["| survivor | line | reason |", "|---|---|---|"]
    for outcome in survivors:
        mutant = outcome.mutant
        reason = reasons.get((mutant.path, mutant.text, mutant.site.before.strip()), "**none written down**")
        code = mutant.text.replace("|", "\\|")
        lines.append(f"| `{mutant.name}` | `{code}` | {reason} |")
    return "\n".join(lines) + "\n"


def _commit(directory: Path) -> str:
    command = ("git", "rev-parse", "--short", "HEAD")
    return subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True).stdout.strip()
