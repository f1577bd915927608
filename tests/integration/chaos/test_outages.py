from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from chaos import session
from chaos.differences import Kind
from chaos.market import Market
from chaos.runner import Runner
from chaos.scenarios import SCENARIOS, Outage, Scenario
from chaos.servers import Servers
from chaos.stack import Modules
from chaos.venues import VENUES
from tests.integration.chaos.promises import TIMEOUT_S, assert_kept

pytestmark = pytest.mark.timeout(TIMEOUT_S)
_SOON_S = 25.0
# What a mechanism saves is lost at most kills, not at each.
_SABOTAGED_KILLS = 5


@pytest.mark.parametrize(
    "outage",
    [Outage("kafka", "stop", 8), Outage("influx", "stop", 8), Outage("influx", "freeze", 8)],
    ids=lambda outage: f"{outage.server}-{outage.how}",
)
def test_an_engine_that_is_away_for_a_while_costs_nothing(runner: Runner, outage: Outage) -> None:
    assert_kept(runner.run(Scenario("outage", "a server is away", outage=outage)))


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
    monkeypatch.setitem(VENUES, "binance", replace(VENUES["binance"], recovery_s=_SOON_S))
    monkeypatch.setattr(session, "DRAIN_S", _SOON_S)


@pytest.mark.long
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
    servers: Servers, market: Market, runner: Runner, tmp_path: Path, sabotage: Sabotage
) -> None:
    sabotaged = Runner(
        servers,
        market,
        tmp_path,
        print,
        kills=_SABOTAGED_KILLS,
        modules=sabotage.modules,
        undisturbed=runner.undisturbed(),
    )
    result = sabotaged.run(SCENARIOS[sabotage.scenario])
    assert result.error is None
    assert result.differences.count(sabotage.what, sabotage.kind) > 0
