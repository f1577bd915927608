"""The declared scenarios are whole, and the simulator understands them."""

from __future__ import annotations

import pytest

from chaos.market import Market, Window, start_before
from chaos.scenarios import ALL, FAULTS, KILLS, PROTOCOL_FAULTS, SCENARIOS, SOURCES, Scenario
from chaos.stack import CONSUMERS, PRODUCER
from chaos.venues import VENUES
from oracle.plan import plan
from producers.exchanges.port import Pace
from producers.silence_probe import GRACE_S, SILENT_S
from simulator.faults.kinds import KINDS, kinds_on
from simulator.faults.script import parse_script
from simulator.protocols.binance.dialect import BINANCE


def test_every_kind_of_fault_has_a_scenario_about_it_or_is_the_oracles() -> None:
    about = {scenario.faults[0].partition(":")[0] for scenario in (*FAULTS, *SOURCES)}
    planned = {fault["kind"] for seed in range(200) for fault in plan(seed).faults}
    assert about | planned == set(kinds_on("binance"))
    of_protocols = {scenario.faults[0].partition(":")[0] for scenario in PROTOCOL_FAULTS}
    assert about | planned | of_protocols == set(KINDS)


@pytest.mark.parametrize(
    "scenario",
    [each for each in SCENARIOS.values() if each not in PROTOCOL_FAULTS],
    ids=lambda scenario: scenario.name,
)
def test_the_simulator_takes_every_script(scenario: Scenario) -> None:
    assert len(parse_script(None, scenario.faults, BINANCE.scope).faults) == len(scenario.faults)


def test_faults_end_before_the_window_does() -> None:
    for scenario in (*FAULTS, ALL):
        for fault in parse_script(None, scenario.faults, BINANCE.scope).faults:
            end_s = fault.from_s if fault.once else fault.to_s
            assert end_s < scenario.window_s, fault


def test_no_connection_is_away_where_ids_begin_anew_for_nobody_has_those_trades_any_more() -> None:
    anew, before, after = parse_script(None, SCENARIOS["ids-anew"].faults, BINANCE.scope).faults
    assert before.every_s is not None
    last_before_s = before.from_s + (before.to_s - before.from_s - 1) // before.every_s * before.every_s
    assert last_before_s <= anew.from_s - 20 and after.from_s > anew.from_s


def test_where_streams_are_away_to_the_end_what_only_rest_knows_is_given_its_time() -> None:
    away = [scenario for scenario in SOURCES if scenario.for_good]
    assert {scenario.name for scenario in away} == {"stream-refused", "stream-dies", "one-stream-dies"}
    for scenario in away:
        assert scenario.noticed_s >= SILENT_S + GRACE_S + 2 * Pace().probe_s


def test_every_process_and_both_engines_are_killed() -> None:
    assert {scenario.kill for scenario in KILLS} == {PRODUCER, *CONSUMERS, "kafka", "influx"}


def test_a_market_begins_shortly_before_a_quarter_and_within_what_second_data_keep() -> None:
    now_ms = 1_795_262_316_789
    start_ms = start_before(now_ms)
    quarter_ms = -(-start_ms // 900_000) * 900_000
    assert 60_000 < quarter_ms - start_ms < 120_000
    assert now_ms - 7 * 86_400_000 < start_ms < now_ms
    # What the services need to subscribe does not end a bar of a second.
    assert start_ms % 1000 == 100


def test_the_arguments_of_a_market_are_those_of_the_simulator() -> None:
    arguments = Market(5, symbols=("A", "B"), seed=3).arguments()
    assert arguments == ["--symbols", "A,B", "--seed", "3", "--start", "5", "--rate", "3"]


def test_a_window_has_the_bars_that_close_within() -> None:
    window = Window(1_000, 5_000)
    assert window.has_bar(4_000, 1_000)
    assert not window.has_bar(4_001, 1_000)
    assert window.has_bar(1, 1_000)
    assert not window.has_bar(0, 1_000)
    assert window.cut(Window(0, 3_000)) == Window(1_000, 3_000)


def test_bars_that_wait_for_a_clock_that_has_stopped_are_not_of_the_window_but_trades_are() -> None:
    window = Window(1_000, 9_000, waits_ms=4_000)
    assert window.has_bar(4_000, 1_000) and not window.has_bar(4_001, 1_000)
    assert window.has(8_999)
    assert window.cut(Window(0, 8_000)) == Window(1_000, 8_000, 4_000)
    assert VENUES["kraken"].market(5, 1).waits_ms == 5_000
    assert VENUES["binance"].market(5, 1).waits_ms == 0


def test_of_all_faults_together_each_that_waits_for_a_request_strikes_once_for_certain() -> None:
    faults = parse_script(None, ALL.faults, BINANCE.scope).faults
    by_chance = {fault.kind for fault in faults if fault.declared.place == "request" and not fault.once}
    assert by_chance == {fault.kind for fault in faults if fault.once}
