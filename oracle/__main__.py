"""`python -m oracle`: seeded runs of the command line, each checked against the exchange's log."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from oracle.checks import missing, violations_of
from oracle.outcome import Outcome
from oracle.plan import Plan, plan
from oracle.processes import ROOT, OracleError, descendants
from oracle.report import as_page, as_table, summary
from oracle.run import Run


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if every run passed; 1 if one did not."""
    asked = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    seeds = range(asked.first, asked.first + asked.seeds) if asked.seed is None else asked.seed
    began_s = time.monotonic()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="oracle-") as temporary:
        root = asked.keep or Path(temporary)
        with ThreadPoolExecutor(asked.jobs) as pool:
            futures = [
                pool.submit(carry_out, plan(seed), root, asked.command.split(), asked.tree) for seed in seeds
            ]
            for future in as_completed(futures):
                outcome = future.result()
                outcomes.append(outcome)
                outcomes.sort(key=lambda each: each.plan.seed)
                _progress(outcome, len(outcomes), len(futures), time.monotonic() - began_s)
                # After each run, so that an interrupted hour leaves its results.
                if asked.write is not None:
                    page = asked.write.read_text(encoding="utf-8") if asked.write.exists() else ""
                    asked.write.write_text(as_page(page, outcomes, datetime.now(UTC)), encoding="utf-8")
    sys.stdout.write(as_table(outcomes) + summary(outcomes) + "\n")
    return 1 if any(not outcome.good for outcome in outcomes) else 0


def carry_out(
    chosen: Plan, root: Path, command: Sequence[str], tree: Path = ROOT, *, keep: bool = False
) -> Outcome:
    """Make one run and check it; the files of a good run are removed unless `keep`."""
    directory = root / f"seed-{chosen.seed}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    began_s = time.monotonic()
    try:
        case = Run(chosen, directory, command, tree).carry_out()
    except (OracleError, OSError, sqlite3.Error) as error:
        return Outcome(chosen, None, (), 0, time.monotonic() - began_s, f"{type(error).__name__}: {error}")
    violations = violations_of(case)
    trades, bars = missing(case)
    outcome = Outcome(
        chosen, case.ended.exit_code, violations, len(trades) + len(bars), time.monotonic() - began_s
    )
    if outcome.good and not keep:
        shutil.rmtree(directory, ignore_errors=True)
    return outcome


def _stop(number: int, _frame: FrameType | None) -> None:
    """End with all child processes: an exchange would run for ever."""
    for pid in descendants(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(128 + number)


def _progress(outcome: Outcome, done: int, of: int, seconds: float) -> None:
    sys.stderr.write(f"{seconds:7.1f} s  {done}/{of}  {outcome.line}\n")
    for violation in outcome.violations:
        sys.stderr.write(f"             {violation}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="oracle",
        description="Checks runs of the command line against the exchange's log.",
    )
    add = parser.add_argument
    add("--seeds", type=int, default=10, metavar="N", help="how many (default: %(default)s)")
    add("--first", type=int, default=1, metavar="SEED", help="the first of them (default: %(default)s)")
    add("--seed", type=int, nargs="+", metavar="SEED", help="these instead")
    add("--jobs", type=int, default=4, metavar="N", help="runs side by side (default: %(default)s)")
    add(
        "--command",
        default=f"{sys.executable} -m cryptostream.cli",
        help="the command under test (default: that of this tree)",
    )
    add("--tree", type=Path, default=ROOT, metavar="DIR", help="where its packages are (default: this tree)")
    add("--keep", type=Path, metavar="DIR", help="keep the files of runs that are not good there")
    add("--write", type=Path, metavar="FILE", help="enter the results in this page")
    return parser


if __name__ == "__main__":
    sys.exit(main())
