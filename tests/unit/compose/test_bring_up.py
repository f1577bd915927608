"""What `make test-compose` asks of the simulator and of the stack is what there is."""

from __future__ import annotations

import json

from shared.settings import Settings
from simulator.faults.script import parse_posted
from simulator.protocols.binance.dialect import BINANCE
from tests.compose.checks import ELSEWHERE, FAULTS
from tests.unit.compose.stack import services


def test_the_scripted_faults_strike_once_each_at_their_next_occasion() -> None:
    symbols = Settings.model_fields["symbols"].default
    faults = parse_posted(json.dumps({"faults": FAULTS}).encode(), 0, symbols, BINANCE.scope)
    assert len(faults) == 3
    assert all(fault.once and fault.count == 1 and fault.from_s == 0 for fault in faults)


def test_the_other_markets_that_are_looked_at_are_those_of_the_stack() -> None:
    producers = [
        service["command"][-1]
        for service in services("docker-compose.yml").values()
        if service.get("command", [])[:3] == ["python", "-m", "producers"] and "profiles" in service
    ]
    assert [f"{exchange}:{symbol}" for exchange, symbol in ELSEWHERE] == producers
