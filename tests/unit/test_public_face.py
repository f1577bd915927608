"""What users see stays as it is unless somebody means to change it: tests/golden/public."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.public_face import FILES, GOLDEN


@pytest.mark.thorough
@pytest.mark.parametrize("name", FILES)
def test_what_users_see_is_as_it_was(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a directory without settings and runs
    expected = (GOLDEN / name).read_text(encoding="utf-8")

    assert _plain(FILES[name]()) == _plain(expected), "if that is meant: python -m tests.public_face"


@pytest.mark.thorough
def test_every_golden_file_is_made() -> None:
    made = {
        *FILES,
        *(f"run/{name}" for name in ("output.txt", "files.txt", "tables.json", "ledger.txt", "queries.txt")),
    }
    assert {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*") if path.is_file()} == made


def _plain(text: str) -> list[str]:
    """Versions of Python break the lines of a help text elsewhere, and quote choices or not."""
    return text.replace("'", "").split()
