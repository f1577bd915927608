"""What clients ask is counted by the seconds that limits are about."""

from __future__ import annotations

from simulator.server.arrivals import Arrivals


def test_the_busiest_second_and_the_busiest_ten_seconds_are_kept() -> None:
    arrivals = Arrivals()
    for at_s in (0.0, 0.2, 0.9, 1.1, 30.0):
        arrivals.heard(at_s, exceeds=at_s == 1.1)
    for at_s in (0.0, 5.0, 9.9, 10.0, 12.0, 40.0):
        arrivals.requested(at_s, refused=at_s == 12.0)
    assert arrivals.counts() == {
        "requests": 6,
        "requests_in_10_s": 4,
        "refused": 1,
        "messages": 5,
        "messages_in_1_s": 3,
        "closed": 1,
    }
