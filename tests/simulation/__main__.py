"""`python -m tests.simulation`: many seeds of the whole chain, or one of them closely."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.simulation import planted
from tests.simulation.draws import schedule_of
from tests.simulation.outcome import Outcome
from tests.simulation.pool import Worker, run_all
from tests.simulation.progress import Progress
from tests.simulation.schedule import Schedule
from tests.simulation.shrink import shrunk


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 if any check of any seed failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--seeds", type=int, default=1_000, help="how many (default: %(default)s)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one (default: 0)")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="only this one, with what happened in it")
    parser.add_argument("--trace", action="store_true", help="with --seed: every line, not the last ones")
    parser.add_argument(
        "--shrink", action="store_true", help="with --seed: the fewest disturbances that fail"
    )
    parser.add_argument("--schedule", help="with --seed: in its place a schedule, as --shrink prints one")
    parser.add_argument(
        "--planted", choices=(*planted.BUGS, *planted.SELDOM_MET), help="with a bug that has to be found"
    )
    parser.add_argument("--fail-fast", action="store_true", help="end at the first failure")
    arguments = parser.parse_args(argv)
    if arguments.seed is None and arguments.schedule is None:
        return _many(arguments)
    return _one(arguments)


def _many(arguments: argparse.Namespace) -> int:
    began_s = time.monotonic()
    failed: list[Outcome] = []
    checks: Counter[str] = Counter()
    happened: Counter[str] = Counter()
    rows = done = 0
    cpu_s = virtual_s = 0.0
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    progress = Progress(len(seeds), sys.stderr, arguments.planted)
    for outcome in run_all(seeds, arguments.jobs, arguments.planted):
        done += 1
        rows, cpu_s, virtual_s = rows + outcome.rows, cpu_s + outcome.cpu_s, virtual_s + outcome.virtual_s
        happened.update(outcome.happened)
        progress.receive(outcome)
        if outcome.failures:
            failed.append(outcome)
            checks.update(outcome.checks)
            if arguments.fail_fast:
                break
    seconds = time.monotonic() - began_s
    print(f"\n{'disturbance':<28}{'times':>8}")
    for kind, number in sorted(happened.items()):
        print(f"{kind:<28}{number:>8,}")
    if checks:
        print(f"\n{'failed check':<28}{'seeds':>8}")
        for check, number in checks.most_common():
            print(f"{check:<28}{number:>8,}")
    print(
        f"\n{done:,} seeds, {virtual_s / 3600:,.1f} virtual hours in {seconds:,.0f} s"
        f" ({cpu_s / max(done, 1):.2f} s of CPU a seed), {rows:,} rows compared: {len(failed)} failed"
    )
    return 1 if failed else 0


def _one(arguments: argparse.Namespace) -> int:
    if arguments.schedule is not None:
        schedule = Schedule.from_json(arguments.schedule)
    else:
        schedule = schedule_of(arguments.seed)
    bug = arguments.planted
    with Worker() as worker:
        outcome = worker.run(schedule, trace=arguments.trace, planted=bug)
        if arguments.shrink and outcome.failures:
            check = outcome.checks[0]
            schedule = shrunk(schedule, lambda tried: check in worker.run(tried, planted=bug).checks)
            outcome = worker.run(schedule, trace=arguments.trace, planted=bug)
            print(f"--schedule '{schedule.to_json()}'")
    print("\n".join(outcome.lines if arguments.trace else outcome.lines[-60:]))
    print("\n".join(schedule.described()))
    print(
        f"trace {outcome.digest}: {outcome.events:,} events in {outcome.virtual_s:.1f} virtual s,"
        f" {outcome.cpu_s:.2f} s of CPU; {outcome.rows:,} rows compared"
    )
    for failure in outcome.failures:
        print(f"FAILED {failure}")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
