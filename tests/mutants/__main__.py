"""`make mutants`: exchanges one operator at a time in the services' code; do the tests notice it?"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.report import REASONS, reasons_of, written
from tests.mutants.sample import Mutant, sampled
from tests.mutants.stages import stages_of
from tests.mutants.trial import Outcome, Workspace

_ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants ARGS=", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="mutants to draw")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--seeds", type=int, default=200, help="of the simulation, for those that tests miss")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once")
    parser.add_argument("--only", metavar="TEXT", help="mutants whose path and line contain this")
    parser.add_argument("--list", action="store_true", help="show the mutants, and try none")
    parser.add_argument("--write", metavar="PAGE", type=Path, help="page that is to say the result")
    args = parser.parse_args()
    files = _tracked()
    mutants = [
        each for each in sampled(_ROOT, files, args.count, args.seed) if (args.only or "") in each.name
    ]
    if args.list:
        for mutant in mutants:
            print(f"{mutant.name:<70}  {mutant.text}")
        return 0
    outcomes = _tried(mutants, files, args.jobs, args.seeds)
    survivors = [outcome for outcome in outcomes if outcome.noticed_by is None]
    print(f"{len(outcomes) - len(survivors)} of {len(outcomes)} mutants noticed")
    known = reasons_of(REASONS)
    for survivor in survivors:
        mutant = survivor.mutant
        reason = known.get((mutant.path, mutant.text, mutant.site.before.strip()))
        print(f"survived: {mutant.name}  {mutant.text}  ({reason or 'no reason written down'})")
    if args.write:
        written(args.write, outcomes, args.seed, args.seeds)
    return 0


def _tried(mutants: Sequence[Mutant], files: Sequence[str], jobs: int, seeds: int) -> list[Outcome]:
    """The outcomes in the mutants' order; each is told as it comes.

    Raises:
        SystemExit: without any mutation the tests fail, which would call every mutant noticed.
    """
    tests = [path for path in files if path.startswith("tests/") and Path(path).name.startswith("test_")]
    spaces: SimpleQueue[Workspace] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="cryptostream-mutants-") as directory:
        for number in range(jobs):
            spaces.put(Workspace(_ROOT, files, Path(directory) / str(number)))
        _require_green(spaces, seeds)

        def try_out(mutant: Mutant) -> Outcome:
            space = spaces.get()
            try:
                outcome = space.try_out(mutant, stages_of(mutant.path, tests, seeds))
            finally:
                spaces.put(space)
            by = outcome.noticed_by or "SURVIVED"
            print(f"{by:<18} {outcome.seconds:>6.0f} s  {mutant.name}  {mutant.text}", flush=True)
            return outcome

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(try_out, mutants))


def _require_green(spaces: SimpleQueue[Workspace], seeds: int) -> None:
    space = spaces.get()
    print("the tests without a mutant …", flush=True)
    for stage in stages_of("shared/none.py", (), seeds)[1:]:
        code, tail = space.run(stage)
        if code != 0:
            raise SystemExit(f"{stage.name} fail without any mutant:\n{tail}")
    spaces.put(space)


def _tracked() -> list[str]:
    command = ("git", "ls-files", "-z")
    listed = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True).stdout
    return [path for path in listed.split("\0") if path and (_ROOT / path).is_file()]


if __name__ == "__main__":
    sys.exit(main())
