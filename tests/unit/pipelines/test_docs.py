from __future__ import annotations

from pipelines.snapshots.settings import SnapshotSettings
from scripts.make_snapshots import PAGE, with_columns


def test_the_page_has_every_column_with_its_unit_and_source() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_columns(page) == page, "run: make docs"


def test_the_page_names_every_setting() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [
        name
        for name in (field.upper() for field in SnapshotSettings.model_fields)
        if name not in page and f"`_{name.removeprefix('SNOWFLAKE_')}`" not in page
    ]
    assert missing == []
