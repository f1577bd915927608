"""docs/parity.md says what the comparison gives; the long data sets are trusted to their generator."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumers.indicators.registry import ALL_COLUMNS
from scripts.make_parity import DATA_SETS, PAGE, DataSet, data_set_row, results_of

TEXT = PAGE.read_text(encoding="utf-8").splitlines()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "data_set", [data_set for data_set in DATA_SETS if data_set.quick], ids=lambda data_set: data_set.short
)
def test_the_counts_on_the_page_are_those_of_the_comparison(data_set: DataSet, recordings: Path) -> None:
    (line,) = [line for line in TEXT if cells(line)[0] == data_set.short]
    count, results = results_of(data_set)
    # The last number depends on how a processor's library rounds a logarithm.
    assert cells(line)[:-1] == cells(data_set_row(data_set, count, results))[:-1], "run: make parity"


def test_every_column_equals_on_every_data_set() -> None:
    rows = {cells(line)[0]: cells(line)[2] for line in TEXT if line.startswith("|")}
    for data_set in DATA_SETS:
        assert rows[data_set.short] == f"{len(ALL_COLUMNS)} of {len(ALL_COLUMNS)}"
    assert not any("differs" in line for line in TEXT)


def test_the_page_has_a_row_for_every_column() -> None:
    start = TEXT.index("## Columns")
    end = TEXT.index("## Rows not compared")
    rows = [cells(line)[0].strip("`") for line in TEXT[start:end] if line.startswith("| `")]
    assert rows == list(ALL_COLUMNS)
