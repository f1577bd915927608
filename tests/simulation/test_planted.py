"""Every planted bug is found, and by how many seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import pytest

from tests.simulation import planted
from tests.simulation.disturbances import ExchangeFault, Kill, PowerCut
from tests.simulation.pool import Worker, run_all
from tests.simulation.schedule import PRODUCER, Schedule

pytestmark = pytest.mark.simulation


def _wrong_until(seed: int, start_ms: int, end: Kill | PowerCut, seconds: float = 10.0) -> Schedule:
    """Two symbols, whose bars are often sent wrong until a kill or a power cut."""
    flag = f"wrong_kline:from={end.at_s - 2.5:.2f},to={end.at_s:.2f},probability=0.5"
    symbols = ("XRPUSDC", "SOLUSDC")
    return Schedule(seed, start_ms, symbols, seconds, 1.0, 50, (ExchangeFault(flag, 0), end))


JOBS: Final = 2
ENOUGH: Final = 1_000
# Seeds of which one finds it. Other draws, and other code, have others: the long test looks for them. What
# needs a kill within some milliseconds has those that kill one consumer again and again.
FOUND_BY: Final[Mapping[str, Sequence[int]]] = {
    "repair-off": (1,),
    "dedupe-off": (9,),
    "holes-from-a-stale-copy": (93,),
    "progress-from-a-stale-copy": (60,),
    "expired-slot-kept": (246,),
    "rollover-drops-a-frame": (463,),
    "commit-before-acknowledgement": (
        *(591, 26, 70, 165, 188, 198, 208, 219, 260, 348, 400, 411, 444),
        *(481, 484, 498, 501, 574, 683, 710, 717, 767, 873, 949, 972),
    ),
    "state-one-bar-behind": (24,),
    "watermark-off-by-one": (488,),
    "ledger-adds": (15,),
}

# Runs of which one finds it, with a kill and with a power cut.
SELDOM_MET_BY: Final[Mapping[str, Sequence[Sequence[int | Schedule]]]] = {
    "nothing-read-back": (
        (4_709, _wrong_until(48_463, 1_789_999_971_396, Kill(PRODUCER, 3.99, 56, 0.1, 0.0))),
        (
            _wrong_until(98_418, 1_789_999_975_266, PowerCut(4.63, 0.5)),
            _wrong_until(26_681, 1_789_999_976_591, PowerCut(6.56, 0.5)),
            _wrong_until(998_500, 1_789_999_973_643, PowerCut(3.54, 3.0)),
        ),
        # Bars of a long outage lie between those to compare and the newest one.
        (
            _wrong_until(98_418, 1_789_999_975_266, PowerCut(4.63, 100.0), 125.0),
            _wrong_until(998_500, 1_789_999_973_643, PowerCut(3.54, 200.0), 230.0),
        ),
    ),
}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as made:
        yield made


def test_every_planted_bug_is_found_within_a_thousand_seeds() -> None:
    assert FOUND_BY.keys() == planted.BUGS.keys()
    assert SELDOM_MET_BY.keys() == planted.SELDOM_MET.keys()
    assert max(map(max, FOUND_BY.values())) < ENOUGH


@pytest.mark.parametrize("name", FOUND_BY)
def test_a_planted_bug_is_found_where_it_was_found_before(worker: Worker, name: str) -> None:
    assert any(worker.run(seed, planted=name).failures for seed in FOUND_BY[name])


@pytest.mark.parametrize(
    ("name", "runs"), [(name, runs) for name, ways in SELDOM_MET_BY.items() for runs in ways]
)
def test_a_bug_that_is_seldom_met_is_found_and_without_it_all_is_kept(
    worker: Worker, name: str, runs: Sequence[int | Schedule]
) -> None:
    found = {check for run in runs for check in worker.run(run, planted=name).checks}
    assert found == {"kline different"}

    assert not [run for run in runs if worker.run(run).failures]


def test_a_planted_bug_is_in_no_other_run_of_its_worker(worker: Worker) -> None:
    (seed,) = FOUND_BY["repair-off"]
    assert worker.run(seed, planted="repair-off").failures

    assert not worker.run(seed).failures


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", planted.BUGS)
def test_a_planted_bug_is_found_by_one_of_a_thousand_seeds(name: str) -> None:
    assert any(outcome.failures for outcome in run_all(range(ENOUGH), JOBS, name))
