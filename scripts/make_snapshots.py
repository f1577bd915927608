"""Writes the table of columns in docs/snapshots.md from their declaration (`make docs`)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipelines.snapshots.columns import COLUMNS

COLUMNS_BEGIN: Final = "<!-- columns -->"
COLUMNS_END: Final = "<!-- /columns -->"
_TYPES: Final = {
    "text": "string",
    "time": "timestamp[µs, UTC]",
    "decimal": "decimal128(38, 18)",
    "count": "int64",
}


def columns_table() -> str:
    """Every column with its type, unit and source."""
    lines = ["| column | type | unit | source | in backfilled rows |", "|---|---|---|---|---|"]
    for column in COLUMNS:
        kept = "yes" if column.klines or not column.measure else "null"
        lines.append(
            f"| `{column.name}` | {_TYPES[column.kind]} | {column.unit} | {column.source} | {kept} |"
        )
    return "\n".join(lines)


def with_columns(page: str) -> str:
    """The page with a new table of columns."""
    before, _, rest = page.partition(COLUMNS_BEGIN)
    _, _, after = rest.partition(COLUMNS_END)
    return f"{before}{COLUMNS_BEGIN}\n{columns_table()}\n{COLUMNS_END}{after}"


PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "snapshots.md"

if __name__ == "__main__":
    PAGE.write_text(with_columns(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
