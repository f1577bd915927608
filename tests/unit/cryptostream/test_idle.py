"""Whether the producers have passed on everything the source gave."""

from __future__ import annotations

from cryptostream.embedded.idle import IdleWatch

SETTLED = {"pending_fills": 0.0, "warm": 1.0}


def test_two_reports_alike_after_the_source_fell_silent_are_idle():
    idle = IdleWatch(10.0, source_silent=True)
    assert not idle.receive(9.9, 500, SETTLED)
    assert not idle.receive(10.5, 500, SETTLED)
    assert not idle.receive(10.5, 500, SETTLED)  # the same report again says nothing new
    assert idle.receive(11.5, 500, SETTLED)


def test_a_message_more_begins_the_wait_anew():
    idle = IdleWatch(0.0, source_silent=True)
    idle.receive(1.0, 500, SETTLED)
    assert not idle.receive(2.0, 501, SETTLED)
    assert idle.receive(3.0, 501, SETTLED)


def test_fetches_and_a_cold_series_are_waited_for():
    for gauges in ({"pending_fills": 1.0, "warm": 1.0}, {"pending_fills": 0.0, "warm": 0.0}, {}):
        idle = IdleWatch(0.0, source_silent=True)
        idle.receive(1.0, 5, gauges)
        assert not idle.receive(2.0, 5, gauges)


def test_a_live_exchange_never_falls_silent():
    idle = IdleWatch(0.0, source_silent=False)
    assert idle.receive(1.0, 5, SETTLED)
    assert not idle.receive(2.0, 6, {"pending_fills": 2.0, "warm": 1.0})
