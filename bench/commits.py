"""Cost of waiting for the disk at each commit of the SQLite store (SQLITE_SYNCHRONOUS).

`make bench ARGS=commits`. Both sides write the same trades to files on the same disk, in turn.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from bench import report
from bench.store import trades
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_file import Synchronous
from shared.arguments import Parser, whole

# Points of a commit: of a quiet stream, a busy one, one that catches up.
_SIZES: Final = (10, 100, 1_000, 5_000)
_SIDES: Final[tuple[Synchronous, ...]] = ("normal", "full")
_POINTS: Final = 50_000
_LEAST_COMMITS: Final = 20
_MOST_COMMITS: Final = 500


def main(arguments: list[str]) -> int:
    """Run it, print the table, write the JSON."""
    parser = Parser(prog="bench commits")
    parser.add_argument("--rounds", type=whole, default=5, help="rounds of each side, in turn (default 5)")
    parser.add_argument(
        "--directory", type=Path, help="on the disk to be measured (default: the temporary one)"
    )
    asked = parser.parse_args(arguments)
    took_ms: dict[str, dict[str, list[float]]] = {}
    for size in _SIZES:
        sides = took_ms[str(size)] = {side: [] for side in _SIDES}
        for _ in range(asked.rounds):
            for side in _SIDES:
                with tempfile.TemporaryDirectory(prefix="cryptostream-bench-", dir=asked.directory) as folder:
                    sides[side].append(_commit_ms(Path(folder) / "store.db", side, size))
    report.show(
        f"A commit of the SQLite store, ms ({asked.rounds} rounds in turn, median and range)",
        ["points", *_SIDES, "full costs"],
        [
            [
                f"{int(size):,}",
                *(report.spread(sides[side], 1) for side in _SIDES),
                f"{statistics.median(sides['full']) - statistics.median(sides['normal']):+,.1f}",
            ]
            for size, sides in took_ms.items()
        ],
    )
    print(f"written: {report.write('commits', {'commit_ms': took_ms})}")
    return 0


def _commit_ms(path: Path, synchronous: Synchronous, size: int) -> float:
    """Mean time of a commit, checkpoints of the log included."""
    commits = min(max(_POINTS // size, _LEAST_COMMITS), _MOST_COMMITS)
    points = list(trades(commits * size, time.time_ns()))
    store = SqliteStore(path, synchronous=synchronous)
    began_s = time.perf_counter()
    for first in range(0, len(points), size):
        store.write(points[first : first + size])
    took_s = time.perf_counter() - began_s
    store.close()
    return took_s / commits * 1000
