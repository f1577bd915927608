"""`make frames`: ten million of them, in two processes, with their progress; `--write` dates the result."""

from __future__ import annotations

import argparse
import sys
import time

from tests.frames.report import written
from tests.frames.workers import run

_TOLD_EACH_S = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make frames ARGS=", description=__doc__, allow_abbrev=False)
    parser.add_argument("--count", type=int, default=10_000_000, help="frames, answers and records")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", metavar="PAGE", help="page whose paragraph on frames is to say the result")
    args = parser.parse_args()
    begun_s = told_s = time.monotonic()

    def told(done: int) -> None:
        nonlocal told_s
        now_s = time.monotonic()
        if done and now_s - told_s >= _TOLD_EACH_S:
            told_s, rate = now_s, done / (now_s - begun_s)
            left_s = (args.count - done) / rate
            print(f"{done:,} of {args.count:,}, {rate:,.0f} a second, {left_s:.0f} s left", flush=True)

    outcome, fault = run(args.seed, args.count, args.processes, told)
    for name, count in sorted(outcome.counts.items()):
        print(f"{count:>12,}  {name}")
    print(
        f"{outcome.total:,} in {time.monotonic() - begun_s:.0f} s, {outcome.cpu_s:.0f} s of a processor;"
        f" good series after each {outcome.total // max(1, outcome.series):,}, right again within"
        f" {outcome.worst_s} s at the longest; at most {outcome.peak_mb:.0f} MB a process;"
        f" the longest record {outcome.longest:,} bytes"
    )
    if fault:
        print(f"FAILED: {fault}", file=sys.stderr)
        return 1
    if args.write:
        written(args.write, outcome, args.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
