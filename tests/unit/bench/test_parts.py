"""A whole run is planned: it fits its time, and no side has too few messages to be believed."""

from __future__ import annotations

import pytest

from bench.__main__ import _OTHERS, _PARTS
from bench.parts import FEWEST, FITNESS_S, PARTS, WHOLE_S, options


def test_the_budgets_of_all_parts_fit_into_twenty_five_minutes() -> None:
    assert WHOLE_S == 1_500
    assert FITNESS_S + sum(part.budget_s for part in PARTS) <= WHOLE_S


def test_each_part_gives_each_side_enough_messages_and_runs_by_its_name() -> None:
    assert FEWEST == 400_000
    assert all(part.messages >= FEWEST for part in PARTS)
    assert [part.name for part in PARTS] == list(_PARTS)
    assert not _PARTS.keys() & _OTHERS.keys()


def test_messages_are_those_of_all_rounds() -> None:
    asked = options("quix", [])
    assert (asked.messages, asked.rounds, asked.a_round) == (420_000, 3, 140_000)
    asked = options("quix", ["--messages", "20000", "--rounds", "2"])
    assert asked.a_round == 10_000


@pytest.mark.parametrize("name", [part.name for part in PARTS if part.name != "end-to-end"])
def test_help_names_a_part_s_defaults(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        options(name, ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    part = next(part for part in PARTS if part.name == name)
    assert f"default {part.messages:,}" in text
