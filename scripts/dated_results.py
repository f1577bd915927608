"""Dates the results of what is too long for the gate, and says which are older than the code they check.

    python -m scripts.dated_results NAME

enters today and the present commit into docs/results.json; targets of the Makefile call it after a whole run.
A test fails when a result has become too old.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import orjson

ROOT: Final = Path(__file__).parents[1]
FILE: Final = ROOT / "docs" / "results.json"
_SERVICES: Final = ("producers", "consumers", "shared")


class ByHand(NamedTuple):
    """A run by hand.

    Attributes:
        command: that makes the result.
        page: which shows it.
        paths: of the code that it checks.
        most_commits: to these paths, after which it must be run again.
    """

    command: str
    page: str
    paths: tuple[str, ...]
    most_commits: int


# Bounds by cost: an hour and more of a machine of its own, some minutes, or half an hour.
RUNS: Final[Mapping[str, ByHand]] = {
    "chaos": ByHand("make chaos", "docs/faults.md", _SERVICES, 300),
    "power-cuts": ByHand("make power-cuts", "docs/faults.md", _SERVICES, 300),
    "oracle": ByHand("make oracle", "docs/oracle.md", _SERVICES, 200),
    "soak": ByHand("make soak", "docs/soak.md", _SERVICES, 300),
    "frames": ByHand("make frames", "docs/security.md", (*_SERVICES, "tests/frames"), 200),
    "parity": ByHand("make parity", "docs/parity.md", ("consumers/indicators",), 20),
    "week": ByHand("make week", "docs/snapshots.md", ("pipelines", "cryptostream/snapshots"), 50),
}


def result_of(text: bytes) -> dict[str, dict[str, str]]:
    """By name, `commit` and `date` of the newest result."""
    found: dict[str, dict[str, str]] = orjson.loads(text)
    return found


def stale(
    results: Mapping[str, Mapping[str, str]],
    commits_since: Callable[[str, tuple[str, ...]], int],
    runs: Mapping[str, ByHand] = RUNS,
) -> list[str]:
    """What is too old or missing, a line each with the way out.

    Args:
        commits_since: number of commits to these paths since a commit.
    """
    found = []
    for name, run in runs.items():
        if name not in results:
            found.append(f"{name}: has no dated result; run {run.command}")
            continue
        commit, date = results[name]["commit"], results[name]["date"]
        passed = commits_since(commit, run.paths)
        if passed > run.most_commits:
            found.append(
                f"{name}: the result of {date} ({commit}) is {passed} commits older than"
                f" {', '.join(run.paths)}, more than {run.most_commits}; run {run.command}"
            )
    return found


def commits_since(commit: str, paths: tuple[str, ...]) -> int:
    """Number of commits to these paths since a commit.

    Raises:
        CalledProcessError: it is not in the history.
    """
    return int(_git("rev-list", "--count", f"{commit}..HEAD", "--", *paths))


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in RUNS:
        sys.stderr.write(f"name one of {', '.join(RUNS)}\n")
        return 2
    results = result_of(FILE.read_bytes()) if FILE.exists() else {}
    commit = _git("rev-parse", "--short=10", "HEAD")
    results[sys.argv[1]] = {"commit": commit, "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    FILE.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")
    return 0


def _git(*command: str) -> str:
    return subprocess.run(
        ("git", *command), cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
