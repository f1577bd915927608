"""The broker's machine loses its power: each log its end, `__consumer_offsets` and all.

A hundred cuts are `make power-cuts`; here it is two.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chaos.market import Market, start_before
from chaos.runner import Runner
from chaos.scenarios import POWER_CUT
from chaos.servers import Servers
from tests.integration.chaos.promises import TIMEOUT_S, assert_kept

pytestmark = pytest.mark.timeout(TIMEOUT_S)


def test_what_a_power_cut_takes_is_fetched_again_and_claimed_only_if_stored(
    servers: Servers, tmp_path: Path
) -> None:
    market = Market(start_before(time.time_ns() // 1_000_000))
    result = Runner(servers, market, tmp_path, print, kills=2).run(POWER_CUT)
    assert_kept(result)
    assert result.kills == 2
