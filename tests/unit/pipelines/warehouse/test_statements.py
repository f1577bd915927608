"""The exact SQL that Snowflake gets is kept in tests/golden/snowflake."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.snapshots.warehouse import statements

GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "snowflake"
FOLDER = "0123456789abcdef01234567"
STATEMENTS = {
    "schema": ";\n\n".join(statements.schema_sql("CRYPTOSTREAM", "MARKET")),
    "put": statements.put_sql("/tmp/rows.parquet", FOLDER),
    "staging": statements.staging_sql(FOLDER),
    "copy": statements.copy_sql(FOLDER),
    "check": statements.check_sql(FOLDER),
    "merge": statements.merge_sql(FOLDER),
    "drop": statements.drop_sql(FOLDER),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_statement_is_the_one_that_was_agreed_on(name: str) -> None:
    assert STATEMENTS[name] + "\n" == (GOLDEN / f"{name}.sql").read_text(encoding="utf-8")


def test_every_golden_file_has_its_statement() -> None:
    assert {path.stem for path in GOLDEN.glob("*.sql")} == set(STATEMENTS)
