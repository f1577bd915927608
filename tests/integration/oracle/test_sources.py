"""Each data source is cut in turn: the end names what is missing or unknown, no row is deleted, none is
claimed that is not there. A sample in the gate, all of it by `make sources`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from oracle.checks import Case, violations_of
from oracle.plan import Broker, Store
from oracle.run import Run
from oracle.sources import BROKERS, STORES, Cut, cuts

COMMAND = (sys.executable, "-m", "cryptostream.cli")
# What the gate takes: the fault of each kind, each broker and each store once.
NOTHING = Cut("nothing", incomplete=False)
IN_THE_GATE = {
    (NOTHING.name, "memory", "sqlite"),
    ("stream never opens", "memory", "sqlite"),
    ("trades die", "memory", "sqlite"),
    ("one symbol dies", "kafka", "influxdb"),
    ("producer", "memory", "sqlite"),
    ("host clock +720 h", "memory", "sqlite"),
}
# A proof of fifteen seconds and what comes before it; the long runs have four times as much.
SHORT_S = 48.0
JOBS = 3


def parameters() -> Iterator[ParameterSet]:
    for broker in BROKERS:
        for store in STORES:
            for cut in cuts(broker, store):
                marks = () if (cut.name, broker, store) in IN_THE_GATE else (pytest.mark.long,)
                yield pytest.param(cut, broker, store, marks=marks, id=f"{cut.name}-{broker}-{store}")


@pytest.fixture(scope="module")
def short_runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, str, str], Case]:
    """What the gate takes, some side by side: they mostly wait."""
    chosen = {
        (cut.name, broker, store): cut.plan(broker, store, SHORT_S)
        for broker in BROKERS
        for store in STORES
        for cut in (*cuts(broker, store), NOTHING)
        if (cut.name, broker, store) in IN_THE_GATE
    }
    with ThreadPoolExecutor(JOBS) as pool:
        cases = pool.map(
            lambda plan: Run(plan, tmp_path_factory.mktemp("run"), COMMAND).carry_out(), chosen.values()
        )
        return dict(zip(chosen, cases, strict=True))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("cut", "broker", "store"), [*parameters()])
def test_a_source_is_cut_and_the_end_says_so(
    cut: Cut, broker: Broker, store: Store, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if (cut.name, broker, store) in IN_THE_GATE:
        case = request.getfixturevalue("short_runs")[cut.name, broker, store]
    else:
        case = Run(cut.plan(broker, store), tmp_path, COMMAND).carry_out()
    said = "\n".join(case.ended.output)
    assert violations_of(case) == (), said
    if cut.incomplete:
        assert case.ended.exit_code == 1, said
        end = said[said.rfind("stopping after") :]
        assert not cut.names or any(name in end for name in cut.names), said


@pytest.mark.timeout(1200)
def test_a_run_that_nothing_is_cut_of_ends_with_exit_code_0(
    short_runs: Mapping[tuple[str, str, str], Case],
) -> None:
    case = short_runs[NOTHING.name, "memory", "sqlite"]
    assert violations_of(case) == () and case.ended.exit_code == 0, "\n".join(case.ended.output)
