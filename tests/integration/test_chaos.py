"""A whole stack on real Kafka and real InfluxDB under every fault: nothing is lost, nothing is invented.

Each run is compared with what the exchange issued and with an undisturbed run of the same market.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from cryptostream.chaos import disturber, session
from cryptostream.chaos.differences import Kind
from cryptostream.chaos.engines import Engines
from cryptostream.chaos.market import Market, start_before
from cryptostream.chaos.result import Result
from cryptostream.chaos.runner import Runner
from cryptostream.chaos.scenarios import ALL, FAULTS, KILLS, SCENARIOS, Outage, Scenario
from cryptostream.chaos.stack import Modules
from tests.conftest import real_influx, real_kafka

# Waits inside are bounded; on a busy machine a run of fifteen seconds may take minutes.
pytestmark = pytest.mark.timeout(900)
_KILLS = 5
_SPEED = 15.0
_SOON_S = 25.0


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    directory = tmp_path_factory.mktemp("engines")
    with Engines(real_kafka(directory / "kafka"), real_influx(directory / "influx")) as started:
        yield started


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(start_before(time.time_ns() // 1_000_000))


@pytest.fixture(scope="module")
def runner(engines: Engines, market: Market, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """One for all scenarios: they are compared with the same undisturbed run."""
    return Runner(engines, market, tmp_path_factory.mktemp("runs"), print, kills=_KILLS)


def assert_kept(result: Result) -> None:
    assert result.broken() == []
    assert result.rows > 1_000, "next to nothing was compared"


@pytest.mark.parametrize("scenario", FAULTS, ids=lambda scenario: scenario.name)
def test_no_fault_costs_anything(runner: Runner, scenario: Scenario) -> None:
    # Faster than the command does it: the same happens in less time.
    result = runner.run(replace(scenario, speed=max(scenario.speed, _SPEED)))
    assert_kept(result)
    assert result.fired > 0
    assert sum(result.records.values()) > 0, "it fired and hit nothing"


def test_all_faults_together_cost_nothing(runner: Runner) -> None:
    result = runner.run(ALL)
    assert_kept(result)
    assert result.books > 0, "no published book could be compared with the replayed one"


@pytest.mark.parametrize("scenario", KILLS, ids=lambda scenario: scenario.name)
def test_kills_cost_nothing(runner: Runner, scenario: Scenario) -> None:
    result = runner.run(scenario)
    assert_kept(result)
    assert result.kills == _KILLS


@pytest.mark.parametrize(
    "outage",
    [Outage("kafka", "stop", 8), Outage("influx", "stop", 8), Outage("influx", "freeze", 8)],
    ids=lambda outage: f"{outage.engine}-{outage.how}",
)
def test_an_engine_that_is_away_for_a_while_costs_nothing(runner: Runner, outage: Outage) -> None:
    assert_kept(runner.run(Scenario("outage", "an engine is away", outage=outage)))


def test_rollovers_cost_nothing_and_are_not_noticed(runner: Runner) -> None:
    scenario = replace(SCENARIOS["rollover"], rollovers=3, window_s=150)
    assert_kept(runner.run(scenario))


class Sabotage(NamedTuple):
    """A mechanism that is taken out of a service, and what a scenario must then find."""

    mechanism: str
    service: str
    scenario: str
    what: str
    kind: Kind

    @property
    def modules(self) -> Modules:
        return Modules(**{self.service: ("tests.integration.sabotage", self.mechanism, self.service)})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing for good need not be waited for as long."""
    monkeypatch.setattr(disturber, "_RECOVERY_S", _SOON_S)
    monkeypatch.setattr(session, "DRAIN_S", _SOON_S)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "sabotage",
    [
        Sabotage("repair", "producers", "skip", "trade", "missing"),
        Sabotage("dedupe", "producers", "duplicate", "market.trades", "twice"),
        Sabotage("checkpoint", "consumers", "kill-klines", "kline", "missing"),
    ],
    ids=lambda sabotage: sabotage.mechanism,
)
def test_without_the_mechanism_the_same_run_is_red(
    engines: Engines, market: Market, runner: Runner, tmp_path: Path, sabotage: Sabotage
) -> None:
    sabotaged = Runner(
        engines,
        market,
        tmp_path,
        print,
        kills=_KILLS,
        modules=sabotage.modules,
        undisturbed=runner.undisturbed(),
    )
    result = sabotaged.run(SCENARIOS[sabotage.scenario])
    assert result.error is None
    assert result.differences.count(sabotage.what, sabotage.kind) > 0
