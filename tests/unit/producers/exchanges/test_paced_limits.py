"""What the processes of a deployment may ask of an exchange that counts by address."""

from __future__ import annotations

import pytest

from producers.exchanges.paced_limits import PacedLimits
from producers.exchanges.port import Pace

LIMITS = PacedLimits(a_second=4.0, usual_share=0.5, starting=6, symbol_s=2.0)


def test_symbols_start_one_after_the_other_within_our_share() -> None:
    assert [LIMITS.start_delay_s(position, ("1s",), 1_000) for position in (0, 1, 3)] == [0.0, 3.0, 9.0]


@pytest.mark.parametrize(("own", "deployed", "share"), [(1, 4, 0.125), (4, 4, 0.5), (2, 0, 0.5)])
def test_processes_divide_our_share_by_their_symbols(own: int, deployed: int, share: float) -> None:
    """Started by hand, a process may carry symbols that the deployment does not name."""
    assert LIMITS.share(own, deployed) == share


def test_many_symbols_are_probed_less_often_and_few_as_usual() -> None:
    usual = Pace()
    assert LIMITS.probe_pace(1) == usual
    assert LIMITS.probe_pace(30) == Pace(60.0, 60.0)
