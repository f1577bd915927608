"""A stream is away for good, or the market changes its ids: REST is asked for what no stream brings.

Silences are found out by real seconds, so most of it is too long for the gate; `make chaos` runs all.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from chaos import session
from chaos.market import Market
from chaos.runner import Runner
from chaos.scenarios import SCENARIOS, Scenario
from chaos.servers import Servers
from chaos.stack import Modules
from tests.integration.chaos.promises import TIMEOUT_S, assert_kept

pytestmark = pytest.mark.timeout(TIMEOUT_S)
# World seconds: a cut before the ids begin anew, two after it, and their repair.
_SHORT_S: Final = 85.0
_SOON_S: Final = 25.0


@pytest.mark.long
def test_ids_that_begin_anew_between_two_cuts_cost_nothing(runner: Runner) -> None:
    assert_kept(runner.run(replace(SCENARIOS["ids-anew"], window_s=_SHORT_S)))


@pytest.mark.long
@pytest.mark.parametrize("name", ["stream-refused", "stream-dies", "one-stream-dies"])
def test_what_no_stream_brings_is_fetched(runner: Runner, name: str) -> None:
    assert_kept(runner.run(SCENARIOS[name]))


class Without(NamedTuple):
    """A mechanism that is taken out of the producer, and the scenario that must then lose trades."""

    mechanism: str
    scenario: Scenario


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing for good need not be waited for as long."""
    monkeypatch.setattr(session, "DRAIN_S", _SOON_S)


@pytest.mark.long
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "without",
    [
        Without("notice", SCENARIOS["stream-refused"]),
        Without("notice", SCENARIOS["stream-dies"]),
        Without("notice", SCENARIOS["one-stream-dies"]),
        Without("numbering", replace(SCENARIOS["ids-anew"], window_s=_SHORT_S)),
    ],
    ids=lambda without: without.scenario.name,
)
def test_without_the_mechanism_the_same_run_is_red(
    servers: Servers, market: Market, runner: Runner, tmp_path: Path, without: Without
) -> None:
    sabotaged = Runner(
        servers,
        market,
        tmp_path,
        print,
        modules=Modules(producers=("tests.integration.sabotage", without.mechanism, "producers")),
        undisturbed=runner.undisturbed(),
    )
    result = sabotaged.run(without.scenario)
    assert result.error is None
    assert result.differences.count("trade", "missing") > 0
