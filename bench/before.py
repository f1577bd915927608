"""Another state of the code, out of the repository's history: what a change is compared with."""

from __future__ import annotations

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Final

# The last commit before the consumers' speed was worked on.
BEFORE: Final = "04a733737d73"
# What a consumer process imports.
_PACKAGES: Final = ("consumers", "shared")


class NoHistory(Exception):
    """The commit is not in this clone."""


def checked_out(commit: str, directory: Path) -> Path:
    """Put the consumers of a commit into a directory.

    Raises:
        NoHistory: this is no clone, or a shallow one.
    """
    root = Path(__file__).parents[1]
    done = subprocess.run(
        ["git", "-C", str(root), "archive", "--format=tar", commit, *_PACKAGES],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise NoHistory(f"{commit}: {''.join(reason)}; in a shallow clone: git fetch --unshallow")
    directory.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(directory, filter="data")
    return directory
