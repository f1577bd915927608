"""The code of a commit is had from the history, or it is said why not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.before import BEFORE, NoHistory, checked_out
from tests.conftest import ROOT


def has(commit: str) -> bool:
    asked = ["git", "-C", str(ROOT), "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has("HEAD"), reason="no history: this is no clone")
def test_the_consumers_of_a_commit_and_what_they_import_are_put_in_place(tmp_path: Path) -> None:
    code = checked_out(BEFORE if has(BEFORE) else "HEAD", tmp_path / "before")
    assert (code / "consumers" / "__main__.py").is_file()
    assert (code / "shared" / "settings.py").is_file()
    assert not (code / "bench").exists()


def test_a_commit_that_is_not_there_is_one_line_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(NoHistory, match=r"0123abc.*fetch --unshallow"):
        checked_out("0123abc", tmp_path / "before")
