from __future__ import annotations

import pytest

from cryptostream.chaos.runner import Runner
from cryptostream.chaos.scenarios import ALL
from tests.integration.chaos.judge import TIMEOUT_S, assert_kept

pytestmark = pytest.mark.timeout(TIMEOUT_S)


def test_all_faults_together_cost_nothing(runner: Runner) -> None:
    result = runner.run(ALL)
    assert_kept(result)
    assert result.books > 0, "no published book could be compared with the replayed one"
