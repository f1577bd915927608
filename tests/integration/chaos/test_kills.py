from __future__ import annotations

import pytest

from chaos.runner import Runner
from chaos.scenarios import KILLS as SCENARIOS
from chaos.scenarios import Scenario
from tests.integration.chaos.promises import KILLS, TIMEOUT_S, assert_kept

pytestmark = pytest.mark.timeout(TIMEOUT_S)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_kills_cost_nothing(runner: Runner, scenario: Scenario) -> None:
    result = runner.run(scenario)
    assert_kept(result)
    assert result.kills == KILLS
