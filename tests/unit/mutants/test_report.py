"""What the page says of mutants."""

from __future__ import annotations

from pathlib import Path

from tests.mutants.report import reasons_of, result
from tests.mutants.sample import Mutant
from tests.mutants.sites import Site
from tests.mutants.trial import Outcome


def _outcome(noticed_by: str | None, line: int = 7) -> Outcome:
    mutant = Mutant("shared/ids.py", Site(0, 1, line, "<", "<="), "if a < b:")
    return Outcome(mutant, noticed_by, False, 1.0)


def test_survivors_are_named_with_their_reasons(tmp_path: Path) -> None:
    file = tmp_path / "survivors.toml"
    file.write_text(
        '[[survivor]]\npath = "shared/ids.py"\ntext = "if a < b:"\n'
        'operator = "<"\nreason = "Both are right."\n'
    )
    outcomes = [_outcome("its own tests"), _outcome(None)]
    text = result(outcomes, reasons_of(file), head="2026-11-30", seeds=10)
    assert "2 mutants, **1 noticed**" in text
    assert "| `shared/ids.py:7: < → <=` | `if a < b:` | Both are right. |" in text


def test_a_survivor_without_a_reason_shows() -> None:
    assert "**none written down**" in result([_outcome(None)], {}, head="2026-11-30", seeds=0)
