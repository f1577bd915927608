"""What a stop of a consumer process may take; tests on real engines say nothing of times."""

from __future__ import annotations

from consumers.partitions.assigned import GLANCE_S
from consumers.process import DATA_STOP_S, LEDGER_STOP_S
from consumers.service import DRAIN_S, STOP_STORE_S

STOP_S = 10.0  # DESIGN §5


def test_all_streams_have_their_time_within_the_ten_seconds_of_a_stop() -> None:
    """Data streams first, which may wait for the store and for an answer; then the ledger, to its end."""
    assert STOP_STORE_S + GLANCE_S < DATA_STOP_S
    assert DATA_STOP_S < LEDGER_STOP_S < STOP_S
    assert DRAIN_S + STOP_STORE_S < LEDGER_STOP_S
