"""A thousand seeds keep every promise, and a seed is the same run wherever and whenever it runs."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Final

import pytest

from tests.simulation.draws import schedule_of
from tests.simulation.pool import Worker, run_all
from tests.simulation.progress import Progress, command

pytestmark = pytest.mark.simulation

SEEDS: Final = range(1_000)
JOBS: Final = 2
# Each kind that a schedule may have must do something in so many of the seeds.
LEAST_HAPPENED: Final = 5


@pytest.mark.timeout(1_800)
def test_a_thousand_seeds_keep_every_promise(capfd: pytest.CaptureFixture[str]) -> None:
    happened: Counter[str] = Counter()
    failed = []
    # The standard error is seen at once, whoever runs the test.
    with capfd.disabled():
        progress = Progress(len(SEEDS), sys.stderr)
        for outcome in run_all(SEEDS, JOBS):
            progress.receive(outcome)
            happened.update(set(outcome.happened))
            if outcome.failures:
                failed.append(f"{command(outcome.seed)}  # {outcome.failures[0]}")

    assert not failed, "\n".join(failed)
    expected = {kind for seed in SEEDS for kind in schedule_of(seed).fault_kinds}
    seldom = {kind: happened[kind] for kind in (*expected, "kill", "stop") if happened[kind] < LEAST_HAPPENED}
    assert not seldom


def test_a_seed_has_the_same_trace_in_every_process_and_order() -> None:
    seeds = (3, 11, 42)
    with Worker() as one, Worker() as other:
        first = {seed: one.run(seed).digest for seed in seeds}
        again = {seed: other.run(schedule_of(seed)).digest for seed in reversed(seeds)}

    assert first == again
    assert len(set(first.values())) == len(seeds)
