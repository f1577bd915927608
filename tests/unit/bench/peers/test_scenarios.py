"""Every scenario is a script that its simulator takes."""

from __future__ import annotations

import pytest

from bench.peers.scenarios import CLEAN_S, scenarios
from simulator.faults.script import parse_script
from simulator.protocols.registry import EXCHANGES


@pytest.mark.parametrize("exchange", ["kraken", "coinbase"])
def test_each_scenario_is_understood_and_leaves_the_start_clean(exchange: str) -> None:
    found = scenarios(exchange)
    assert not found["none"]
    for faults in found.values():
        parse_script(None, list(faults), EXCHANGES[exchange].dialect.scope)
        assert all(f"from={CLEAN_S}" in fault for fault in faults)
    assert set(found["all"]) == {fault for faults in found.values() for fault in faults}


def test_each_exchange_has_what_only_it_can_get_wrong() -> None:
    assert "bad_checksum" in scenarios("kraken") and "counter_jump" not in scenarios("kraken")
    assert "counter_jump" in scenarios("coinbase") and "bad_checksum" not in scenarios("coinbase")
