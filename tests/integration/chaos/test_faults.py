from __future__ import annotations

import pytest

from chaos.runner import Runner
from chaos.scenarios import ALL
from tests.integration.chaos.promises import TIMEOUT_S, assert_kept

pytestmark = pytest.mark.timeout(TIMEOUT_S)


def test_all_faults_together_cost_nothing(runner: Runner) -> None:
    result = runner.run(ALL)
    assert_kept(result)
    assert result.books > 0, "no published book could be compared with the replayed one"
