from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.runner import Runner
from chaos.scenarios import SCENARIOS, Outage
from tests.integration.chaos.promises import TIMEOUT_S, assert_kept

pytestmark = [pytest.mark.timeout(TIMEOUT_S), pytest.mark.long]
# Longer than the group's members are waited for (10 s): the broker has forgotten who they were.
_FROZEN_S = 14.0


def test_a_broker_that_is_frozen_then_killed_ends_no_service(runner: Runner) -> None:
    scenario = SCENARIOS["broker-frozen"]
    assert_kept(runner.run(replace(scenario, outage=Outage("kafka", "freeze-kill", _FROZEN_S))))
