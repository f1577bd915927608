from __future__ import annotations

from dataclasses import replace

import pytest

from cryptostream.chaos.runner import Runner
from cryptostream.chaos.scenarios import ALL, FAULTS, Scenario
from tests.integration.chaos.judge import TIMEOUT_S, assert_kept

pytestmark = pytest.mark.timeout(TIMEOUT_S)
_SPEED = 15.0


@pytest.mark.parametrize("scenario", FAULTS, ids=lambda scenario: scenario.name)
def test_no_fault_costs_anything(runner: Runner, scenario: Scenario) -> None:
    # Faster than the command does it: the same happens in less time.
    result = runner.run(replace(scenario, speed=max(scenario.speed, _SPEED)))
    assert_kept(result)
    assert result.fired > 0
    assert sum(result.records.values()) > 0, "it fired and hit nothing"


def test_all_faults_together_cost_nothing(runner: Runner) -> None:
    result = runner.run(ALL)
    assert_kept(result)
    assert result.books > 0, "no published book could be compared with the replayed one"
