"""Runs the stages of one mutant in a copy of the tree."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.sample import Mutant
from tests.mutants.stages import Stage

# pytest: a test failed, or the collection; ended by a signal, or by an error of its own.
_NOTHING_COLLECTED: Final = 5
_NOBODY: Final = ("-c", "user.name=nobody", "-c", "user.email=", "-c", "commit.gpgsign=false")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        noticed_by: name of the stage that failed; None: it survived all of them.
        hung: that stage had to be ended.
        tail: last lines of that stage.
    """

    mutant: Mutant
    noticed_by: str | None
    hung: bool
    seconds: float
    tail: str = ""


class Workspace:
    """A copy of the tree under version control, for one mutant after the other."""

    def __init__(self, root: Path, files: Sequence[str], directory: Path) -> None:
        self._root = root
        self.directory = directory
        for path in files:
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / path, target)
        # Some tests ask what is under version control, and how many commits there are.
        _git(directory, "init", "--quiet")
        _git(directory, "add", "--all", "--force")
        _git(directory, *_NOBODY, "commit", "--quiet", "--message", "The tree")

    def try_out(self, mutant: Mutant, stages: Sequence[Stage]) -> Outcome:
        """Run the stages until one notices the mutant; the file is as before then."""
        file = self.directory / mutant.path
        original = file.read_bytes()
        begun_s = time.monotonic()
        file.write_bytes(mutant.source(self._root))
        try:
            for stage in stages:
                code, tail = self.run(stage)
                if code not in (0, _NOTHING_COLLECTED):
                    seconds = time.monotonic() - begun_s
                    return Outcome(mutant, stage.name, code is None, seconds, tail)
        finally:
            file.write_bytes(original)
        return Outcome(mutant, None, False, time.monotonic() - begun_s)

    def run(self, stage: Stage) -> tuple[int | None, str]:
        """The stage's exit code, None if it had to be ended, and its last lines."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.directory),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CRYPTOSTREAM_DATA": os.environ.get(
                "CRYPTOSTREAM_DATA", str(self._root.parent / "shared" / "data")
            ),
        }
        with subprocess.Popen(
            (sys.executable, *stage.command),
            cwd=self.directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=stage.limit_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
                return None, _tail(output)
        return process.returncode, _tail(output)


def _tail(output: bytes) -> str:
    return "\n".join(output.decode(errors="replace").strip().splitlines()[-3:])


def _git(directory: Path, *command: str) -> None:
    subprocess.run(("git", *command), cwd=directory, check=True, capture_output=True)
