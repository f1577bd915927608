"""A mutant in a copy of a tree: noticed, survived, or hanging."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.sample import Mutant, sampled
from tests.mutants.stages import Stage
from tests.mutants.trial import Workspace

SOURCE = "def larger(a, b):\n    return a if a > b else b\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree" / "shared").mkdir(parents=True)
    (tmp_path / "tree" / "shared" / "largest.py").write_text(SOURCE)
    return tmp_path / "tree"


def _mutant(tree: Path) -> Mutant:
    (mutant,) = sampled(tree, ["shared/largest.py"], 100, 1)
    return mutant


def _stage(code: str, limit_s: float = 30.0) -> Stage:
    return Stage("a check", ("-c", f"from shared.largest import larger\n{code}"), limit_s)


def _workspace(tree: Path) -> Workspace:
    return Workspace(tree, ["shared/largest.py"], tree.parent / "copy")


def test_a_stage_that_fails_notices_the_mutant_and_the_file_is_whole_again(tree: Path) -> None:
    space = _workspace(tree)
    kinds = _stage("class Zero(int): ...\nassert type(larger(Zero(), 0)) is int")
    outcome = space.try_out(_mutant(tree), [_stage("assert larger(2, 1) == 2"), kinds])
    assert outcome.noticed_by == "a check"
    assert "AssertionError" in outcome.tail
    assert not outcome.hung
    assert (space.directory / "shared" / "largest.py").read_text() == SOURCE
    assert (tree / "shared" / "largest.py").read_text() == SOURCE
    assert space.run(kinds)[0] == 0


def test_a_mutant_that_no_stage_notices_survives(tree: Path) -> None:
    outcome = _workspace(tree).try_out(_mutant(tree), [_stage("assert larger(2, 1) == 2")])
    assert outcome.noticed_by is None


@pytest.mark.thorough
def test_a_mutant_that_hangs_is_noticed(tree: Path) -> None:
    endless = _stage("class Zero(int): ...\nwhile type(larger(Zero(), 0)) is not int: pass", limit_s=2.0)
    outcome = _workspace(tree).try_out(_mutant(tree), [endless])
    assert outcome.noticed_by == "a check"
    assert outcome.hung


def test_the_same_seed_draws_the_same_mutants_of_the_services_alone(tree: Path) -> None:
    (tree / "chaos").mkdir()
    (tree / "chaos" / "more.py").write_text(SOURCE * 9)
    (tree / "shared" / "more.py").write_text(SOURCE * 9)
    files = ["shared/largest.py", "shared/more.py", "chaos/more.py"]
    drawn = sampled(tree, files, 5, 3)
    assert drawn == sampled(tree, files[::-1], 5, 3)
    assert drawn != sampled(tree, files, 5, 4)
    assert {mutant.path.partition("/")[0] for mutant in drawn} == {"shared"}
