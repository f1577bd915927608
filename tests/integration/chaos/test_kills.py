from __future__ import annotations

from typing import Final

import pytest

from chaos.runner import Runner
from chaos.scenarios import KILLS as SCENARIOS
from chaos.scenarios import Scenario
from tests.integration.chaos.promises import KILLS, TIMEOUT_S, assert_kept

pytestmark = pytest.mark.timeout(TIMEOUT_S)


# The simulation kills the others at each of their steps.
_IN_THE_GATE: Final = ("kill-producer", "kill-klines", "kill-kafka")


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(each, marks=() if each.name in _IN_THE_GATE else pytest.mark.long, id=each.name)
        for each in SCENARIOS
    ],
)
def test_kills_cost_nothing(runner: Runner, scenario: Scenario) -> None:
    result = runner.run(scenario)
    assert_kept(result)
    assert result.kills == KILLS
