"""Every exchange has the same scenarios, in its own words, and says which it cannot have."""

from __future__ import annotations

import pytest

from chaos.scenarios import ALL, FAULTS, PROTOCOL_FAULTS, SCENARIOS, Scenario
from chaos.venues import VENUES, Venue, chosen, fitted, left_out
from producers.exchanges.registry import EXCHANGES
from shared.errors import UsageError
from simulator.faults.kinds import KINDS, kinds_on
from simulator.faults.script import check_symbols, parse_script
from simulator.protocols.registry import EXCHANGES as SPOKEN

every_venue = pytest.mark.parametrize("venue", VENUES.values(), ids=lambda venue: venue.exchange)


def kinds(scenario: Scenario) -> set[str]:
    return {fault.partition(":")[0] for fault in scenario.faults}


def test_every_exchange_of_the_registry_has_its_scenarios() -> None:
    assert list(VENUES) == list(EXCHANGES) == list(SPOKEN)


@every_venue
def test_the_simulator_takes_every_script_of_the_exchange(venue: Venue) -> None:
    market = venue.market(1_796_000_000_000, 1)
    scope = SPOKEN[venue.exchange].dialect.scope
    for scenario in chosen([], venue):
        script = parse_script(None, scenario.faults, scope)
        check_symbols(script.faults, market.symbols)
        assert len(script.faults) == len(scenario.faults)


@every_venue
def test_what_an_exchange_cannot_have_is_left_out_with_a_reason_and_nothing_else_is(venue: Venue) -> None:
    there = {scenario.name for scenario in chosen([], venue)}
    for name, scenario in SCENARIOS.items():
        reason = left_out(scenario, venue)
        assert (reason is None) == (name in there)
        if reason is not None:
            assert not kinds(scenario) <= set(kinds_on(venue.exchange))
            with pytest.raises(UsageError, match=f"scenario '{name}' cannot happen on .*: {reason}"):
                chosen([name], venue)
    struck = {kind for scenario in chosen([], venue) for kind in kinds(scenario)}
    assert struck >= set(kinds_on(venue.exchange)) & {
        scenario.faults[0].partition(":")[0] for scenario in (*FAULTS, *PROTOCOL_FAULTS)
    }


def test_all_faults_together_are_those_of_the_exchange() -> None:
    assert fitted(ALL, VENUES["binance"]) == ALL
    for name, own in (("kraken", "bad_checksum"), ("coinbase", "counter_jump")):
        (together,) = chosen(["all"], VENUES[name])
        assert own in kinds(together)
        assert kinds(together) <= set(kinds_on(name))
        assert len(kinds(together)) >= 15


def test_symbols_and_streams_are_the_exchanges_own() -> None:
    (dies,) = chosen(["one-stream-dies"], VENUES["kraken"])
    assert dies.faults == ("skip:from=20,streams=trade,symbols=ETH/USD",)
    (halt,) = chosen(["halt"], VENUES["coinbase"])
    # As many real seconds as in a market that is twenty times as fast.
    assert halt.faults == ("halt:at=40,duration=70,symbols=ETH-USD+SOL-USD",)
    assert (halt.speed, halt.window_s) == (1.0, 150)
    assert halt.ledger == ()


@every_venue
def test_scenarios_are_chosen_by_name(venue: Venue) -> None:
    assert [scenario.name for scenario in chosen(["drop", "all"], venue)] == ["drop", "all"]
    with pytest.raises(UsageError, match="scenario 'dropp' is not known; choose from drop, silent"):
        chosen(["dropp"], venue)


def test_binances_scenarios_are_as_they_are_declared() -> None:
    binance = VENUES["binance"]
    without = [name for name, each in SCENARIOS.items() if left_out(each, binance) is not None]
    assert without == ["bad-checksum", "counter-jump", "wrong-ack"]
    assert list(chosen([], binance)) == [each for name, each in SCENARIOS.items() if name not in without]
    assert binance.market(5, 3).arguments() == [
        *("--symbols", "BTCUSDC,ETHUSDC,XRPUSDC,SOLUSDC"),
        *("--seed", "3", "--start", "5", "--rate", "3"),
    ]


def test_where_no_end_is_announced_the_producer_replaces_its_connections() -> None:
    scenario = SCENARIOS["rollover"]
    assert "--connection-age" in scenario.exchange_arguments()
    assert scenario.producer_arguments() == []
    assert "--connection-age" not in scenario.exchange_arguments(announces=False)
    assert scenario.producer_arguments(announces=False) == ["--connection-age", "2"]
    assert SCENARIOS["silent"].producer_arguments(announces=False) == []


def test_every_reason_is_needed() -> None:
    declared = {kind for kind, each in KINDS.items() if each.exchanges}
    about = {scenario.faults[0].partition(":")[0] for scenario in SCENARIOS.values() if scenario.faults}
    reasons = {left_out(each, venue) for each in SCENARIOS.values() for venue in VENUES.values()}
    assert None in reasons and len(reasons) >= 7
    assert {"bad_checksum", "counter_jump", "late_kline"} <= declared & about
