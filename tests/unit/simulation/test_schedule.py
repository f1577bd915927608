"""Schedules are pure functions of their seeds, and survive as text."""

from __future__ import annotations

import pytest

from simulator.faults.script import parse_script
from simulator.protocols.registry import EXCHANGES
from tests.simulation import disturbances
from tests.simulation.disturbances import ExchangeFault, Kill, Member, Rollovers, Stop
from tests.simulation.draws import schedule_of
from tests.simulation.schedule import CONSUMERS, PRODUCER, Schedule

SEEDS = range(300)


def test_equal_seeds_give_equal_schedules() -> None:
    assert [schedule_of(seed) for seed in SEEDS] == [schedule_of(seed) for seed in SEEDS]
    assert len({schedule_of(seed).to_json() for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seed", [0, 1, 17, 250])
def test_a_schedule_is_the_same_after_its_text(seed: int) -> None:
    schedule = schedule_of(seed)

    assert Schedule.from_json(schedule.to_json()) == schedule


def test_every_kind_of_disturbance_can_be_written_and_read() -> None:
    seen = {type(each): each for seed in SEEDS for each in schedule_of(seed).disturbances}

    assert len(seen) == 9
    for each in seen.values():
        assert disturbances.from_json(disturbances.to_json(each)) == each


def test_every_fault_is_one_that_the_exchange_takes() -> None:
    scope = EXCHANGES["binance"].dialect.scope
    for seed in SEEDS:
        flags = [fault.flag for fault in schedule_of(seed).of(ExchangeFault)]
        assert len(parse_script(None, flags, scope).faults) == len(flags)


def test_everything_ends_before_the_market_does() -> None:
    for seed in SEEDS:
        schedule = schedule_of(seed)
        faults = parse_script(
            None, [each.flag for each in schedule.of(ExchangeFault)], EXCHANGES["binance"].dialect.scope
        ).faults
        assert all((fault.from_s if fault.once else fault.to_s) < schedule.seconds for fault in faults)
        assert all(each.at_s < schedule.seconds for each in schedule.of(Kill, Stop, Member))


def test_a_minute_ends_within_each_market() -> None:
    for seed in SEEDS:
        schedule = schedule_of(seed)
        left_ms = -schedule.start_ms % 60_000
        assert 0 < left_ms < schedule.seconds * 1000


def test_seeds_differ_in_number_and_kinds() -> None:
    schedules = [schedule_of(seed) for seed in SEEDS]

    assert {0, 1, 2, 3, 4} <= {len(schedule.disturbances) for schedule in schedules}
    killed = {kill.process for schedule in schedules for kill in schedule.of(Kill)}
    assert killed == {PRODUCER, *CONSUMERS}


def test_some_seeds_strike_one_process_again_and_again() -> None:
    struck = [[kill.process for kill in schedule_of(seed).of(Kill)] for seed in SEEDS]

    repeated = {processes[0] for processes in struck if len(processes) > 2 and len(set(processes)) == 1}
    assert len(repeated) > len(CONSUMERS) / 2


def test_most_markets_are_short_and_some_have_room_for_connections_that_end_of_age() -> None:
    schedules = [schedule_of(seed) for seed in SEEDS]
    long = [schedule for schedule in schedules if schedule.seconds > 15]

    assert len(SEEDS) / 20 < len(long) < len(SEEDS) / 5
    for schedule in schedules:
        assert all(each.age_s + 2 <= schedule.seconds for each in schedule.of(Rollovers))
