"""What `make test-compose` asks of the simulator is what the simulator takes."""

from __future__ import annotations

import json

from shared.settings import Settings
from simulator.faults.script import parse_posted
from simulator.protocols.binance.dialect import BINANCE
from tests.compose.checks import FAULTS


def test_the_scripted_faults_strike_once_each_at_their_next_occasion() -> None:
    symbols = Settings.model_fields["symbols"].default
    faults = parse_posted(json.dumps({"faults": FAULTS}).encode(), 0, symbols, BINANCE.scope)
    assert len(faults) == 3
    assert all(fault.once and fault.count == 1 and fault.from_s == 0 for fault in faults)
