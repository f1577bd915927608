"""Which tests a mutant meets, the nearest first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final, NamedTuple

# Tests of whole exchanges' clients and of whole chains come before thousands of tests of other modules.
_NEIGHBOURS: Final = {
    "producers": ("tests/unit/producers", "tests/exchange_contract", "tests/unit/shared"),
    "consumers": ("tests/unit/consumers", "tests/unit/shared"),
    "shared": ("tests/unit/shared", "tests/unit/producers", "tests/unit/consumers"),
}


class Stage(NamedTuple):
    """Tests that are run together.

    Attributes:
        name: in the results.
        command: of Python, without the interpreter.
        limit_s: after which the mutant hangs, which is noticed too.
    """

    name: str
    command: tuple[str, ...]
    limit_s: float


def stages_of(path: str, test_files: Sequence[str], seeds: int) -> tuple[Stage, ...]:
    """The stages of a mutant in this file.

    Args:
        test_files: paths of all test files below the root.
        seeds: of the simulation; 0 leaves it out.
    """
    own = mirrors_of(path, test_files)
    stages = [Stage("its own tests", _pytest(own), 180.0)] if own else []
    stages.append(Stage("tests around it", _pytest(_NEIGHBOURS[path.partition("/")[0]]), 900.0))
    if seeds:
        command = ("-m", "tests.simulation", "--seeds", str(seeds), "--jobs", "1", "--fail-fast")
        stages.append(Stage("the simulation", command, 120.0 + 2.0 * seeds))
    stages.append(Stage("all unit tests", _pytest(("tests",), "not integration and not thorough"), 1800.0))
    return tuple(stages)


def mirrors_of(path: str, test_files: Sequence[str]) -> tuple[str, ...]:
    """Test files named after a module: in the mirrored folder, or above it after the folder."""
    module = PurePosixPath(path)
    folder = PurePosixPath("tests/unit") / module.parent
    names = {f"test_{module.stem.lstrip('_')}", f"test_{module.parent.name}_{module.stem}"}
    return tuple(
        each
        for each in sorted(test_files)
        if (file := PurePosixPath(each)).parent in (folder, folder.parent)
        and (file.stem in names or any(file.stem.startswith(f"{name}_") for name in names))
    )


def _pytest(paths: Sequence[str], marked: str = "not integration") -> tuple[str, ...]:
    quick = ("-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--no-header", "-m", marked)
    return ("-m", "pytest", *quick, *paths)
