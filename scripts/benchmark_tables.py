"""Tables of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

Result = dict[str, Any]
# Target, figure, and whether it is reached.
Target = tuple[str, str, bool]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(columns) + " |"
    yield "| --- |" + " ---: |" * (len(columns) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def targets(targets: Sequence[Target]) -> Iterator[str]:
    rows = [(asked, measured, "yes" if reached else "**no**") for asked, measured, reached in targets]
    yield from table(("target", "measured", "reached"), rows)
