"""Results of runs by hand are dated, and not older than what they check by more than is stated."""

from __future__ import annotations

import subprocess

from scripts.dated_results import FILE, ROOT, RUNS, ByHand, commits_since, result_of, stale


def test_no_result_is_older_than_its_code_by_more_than_is_stated() -> None:
    """Where the history is cut off before a result, all commits that are there count."""
    assert stale(result_of(FILE.read_bytes()), _commits_here) == []


def test_each_page_exists_and_names_the_command_that_writes_it() -> None:
    for name, run in RUNS.items():
        assert run.command in (ROOT / run.page).read_text(encoding="utf-8"), name


def test_a_result_that_is_too_old_or_missing_is_named_with_the_way_out() -> None:
    runs = {name: ByHand(f"make {name}", "docs/x.md", ("shared",), 10) for name in ("old", "new", "none")}
    results = {name: {"commit": name, "date": "2026-11-01"} for name in ("old", "new")}
    said = stale(results, lambda commit, _paths: {"old": 11, "new": 10}[commit], runs)
    assert [line.partition(":")[0] for line in said] == ["old", "none"]
    assert "make old" in said[0]
    assert "make none" in said[1]


def _commits_here(commit: str, paths: tuple[str, ...]) -> int:
    try:
        return commits_since(commit, paths)
    except subprocess.CalledProcessError:
        command = ("git", "rev-list", "--count", "HEAD", "--", *paths)
        counted = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        return int(counted.stdout)
