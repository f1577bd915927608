"""`make lanes`: ten million frames through lanes and the long way, and the first that differs."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.lanes.pair import Different
from tests.lanes.run import RECORDED, recordings, run, run_recorded

_PIECE = 100_000
_RECORDED_MOST = 200_000
_CHANGED = 0.3


def main() -> int:
    parser = argparse.ArgumentParser(prog="make lanes ARGS=", description=__doc__, allow_abbrev=False)
    parser.add_argument("--count", type=int, default=10_000_000, help="generated frames")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    begun_s = time.monotonic()
    counts: Counter[str] = Counter()
    with ProcessPoolExecutor(args.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        shares = range(0, args.count, _PIECE)
        works = [
            pool.submit(run, args.seed * 10_000 + number, min(_PIECE, args.count - begun))
            for number, begun in enumerate(shares)
        ]
        if all((recordings() / name).exists() for name in RECORDED):
            works += [
                pool.submit(run_recorded, recordings(), share, args.seed, _RECORDED_MOST)
                for share in (0.0, _CHANGED)
            ]
        else:
            print(f"no recordings under {recordings()} (set CRYPTOSTREAM_DATA): generated frames alone")
        try:
            for work in as_completed(works):
                counts.update(work.result())
        except Different as different:
            pool.shutdown(wait=False, cancel_futures=True)
            print(f"FAILED: {different}", file=sys.stderr)
            return 1
    taken = ", ".join(f"{counts[kind]:,} {kind}" for kind in ("quote", "trade", "depth", "kline"))
    spent_s = time.monotonic() - begun_s
    print(f"{counts['all']:,} frames, 0 different, in {spent_s:.0f} s; taken by lanes: {taken}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
