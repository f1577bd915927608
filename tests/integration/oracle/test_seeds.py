"""Four seeds of the oracle: none says more than is true. Two hundred by `make oracle` (docs/oracle.md)."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from oracle.__main__ import carry_out
from oracle.plan import plan

COMMAND = (sys.executable, "-m", "cryptostream.cli")
SEEDS = range(1, 5)
# They mostly wait: for the exchange's time to pass, and for proofs of silence.
JOBS = 2


@pytest.mark.timeout(1200)
def test_seeded_runs_keep_what_their_exit_code_says(tmp_path: Path) -> None:
    with ThreadPoolExecutor(JOBS) as pool:
        outcomes = list(pool.map(lambda seed: carry_out(plan(seed), tmp_path, COMMAND), SEEDS))
    bad = [line for each in outcomes if not each.good for line in (each.line, *map(str, each.violations))]
    assert not bad, "\n".join(bad)
